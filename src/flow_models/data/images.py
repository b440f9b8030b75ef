"""The one place where an image file becomes an array."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from flow_models.data.errors import UnreadableError

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16L", "I;16B")
"""Pillow's names of the pixel formats that become 8 bits without a guess about their range."""


def decode(content: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """An image file as an array.

    The whole picture is resized to the shape, antialiased (Pillow's bilinear filter), without
    cropping; turned upright as its EXIF tag says; transparency shown on white; 16 bits shortened
    to 8; the first frame of an animation.

    Args:
        content: the file.
        shape: height, width, channels; 1 channel is grey (ITU-R 601 luma), 3 are RGB.

    Returns:
        ``(height, width, channels)``, values 0 to 255.

    Raises:
        UnreadableError: with the reason alone.
    """
    return fit(eight_bit(open_image(content)), shape)


def fit(image: Image.Image, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The last step of :func:`decode`: from what :func:`eight_bit` gives."""
    height, width, channels = shape
    image = _converted(image, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(shape)


def open_image(content: bytes) -> Image.Image:
    """Load every pixel, upright, in the file's own mode.

    Raises:
        UnreadableError: if it is empty, not an image, broken, or larger than Pillow's limit of
            ``Image.MAX_IMAGE_PIXELS`` (a decompression bomb).
    """
    if not content:
        raise UnreadableError("zero bytes")
    try:
        image = Image.open(io.BytesIO(content))
        _require_few_pixels(image)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # else it copies what stands upright already
    except UnidentifiedImageError:
        raise UnreadableError(f"not an image (starts with {_beginning(content)})") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"more than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except Exception as error:  # noqa: BLE001 - broken files make Pillow's decoders raise almost anything
        raise UnreadableError(_reason(error)) from None
    return image


def eight_bit(image: Image.Image) -> Image.Image:
    """The same picture in mode L or RGB.

    Raises:
        UnreadableError: if its mode is not among ``MODES``.
    """
    if image.mode not in MODES:
        raise UnreadableError(f"pixels of mode {image.mode}, whose range is unknown")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return _converted(image, "L" if image.mode in {"1", "L", "LA"} else "RGB")


@contextmanager
def pillow_silenced() -> Iterator[None]:
    """Keep Pillow's remarks on odd metadata from the console; what matters is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which copies in any case


def _require_few_pixels(image: Image.Image) -> None:
    # Pillow itself only warns up to twice this limit.
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError


def _beginning(content: bytes) -> str:
    start = content[:16].split(b"\n")[0][:8]
    return f'"{start.decode("ascii")}"' if start.isascii() and start.decode().isprintable() else f"bytes {start.hex()}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "truncated image" if "truncated" in text.lower() else f"broken image ({text or type(error).__name__})"
