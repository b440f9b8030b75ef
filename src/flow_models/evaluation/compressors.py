"""Sizes of images under lossless compressors: how complex an image is, by no model at all."""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flow_models.evaluation.likelihood import require_images

Pixels = NDArray[np.uint8]


def compressed_bits(images: Pixels, *, codec: str = "png") -> NDArray[np.float64]:
    """Size of each image as a losslessly compressed file, its constant header included.

    It needs no model: as a score, the baseline that a model has to beat.

    Args:
        images: ``(n, h, w, 1)`` grey or ``(n, h, w, 3)`` colour.
        codec: a name in ``CODECS``.

    Returns:
        ``(n,)``, bits.

    Raises:
        ValueError: if the images are not of that shape and type, or there is no such codec.
    """
    require_images(images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images have {images.shape[-1]} channels; they are compressed with 1 or 3")
    if codec not in CODECS:
        raise ValueError(f"there is no codec {codec}; known: {', '.join(CODECS)}")
    return np.array([8 * CODECS[codec](image) for image in images], np.float64)


def _with_pillow(**options: Any) -> Callable[[Pixels], int]:
    def size(image: Pixels) -> int:
        content = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(content, **options)
        return content.tell()

    return size


def _differences(image: Pixels) -> bytes:
    """Each pixel less its left neighbour, modulo 256: PNG's filter 1, for compressors that know nothing of images."""
    return np.diff(image, axis=1, prepend=np.uint8(0)).tobytes()


def _lzma_size(image: Pixels) -> int:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 16, "lc": 0, "pb": 0}]
    return len(lzma.compress(_differences(image), format=lzma.FORMAT_RAW, filters=filters))


CODECS: dict[str, Callable[[Pixels], int]] = {
    "png": _with_pillow(format="PNG", optimize=True),
    "webp": _with_pillow(format="WEBP", lossless=True, quality=100),
    "jpeg2000": _with_pillow(format="JPEG2000", irreversible=False),
    "zlib": lambda image: len(zlib.compress(_differences(image), 9)),
    "lzma": _lzma_size,
}
"""Bytes of one image ``(h, w, 1 or 3)``, by the name of the compressor."""
