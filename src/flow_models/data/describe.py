"""One image of a source as one row: what it is, before anything is believed about it."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.fft import dct

from flow_models.data import images
from flow_models.data.cluster import code_digest, require_same
from flow_models.data.errors import UnreadableError
from flow_models.data.images import MODES, eight_bit, fit, open_image, pillow_silenced
from flow_models.data.kept_pixels import KeptPixels, Pixels, Shape
from flow_models.data.parallel import ordered_map
from flow_models.data.sources import Entry, Source

SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "split": pa.string(),
        "class": pa.string(),
        "width": pa.int64(),
        "height": pa.int64(),
        "mode": pa.string(),
        "bytes": pa.int64(),
        "sha256": pa.string(),
        "phash": pa.string(),
        "mean": pa.float64(),
        "std": pa.float64(),
        "blank": pa.bool_(),
        "version": pa.string(),
        "error": pa.string(),
    }
)
"""The columns of a manifest.

``mean`` and ``std`` are over all 8-bit pixel values and channels; ``blank`` says whether every pixel has
the same colour; ``phash`` is :func:`perceptual_hash`;
``version`` the version of an object in a versioned bucket; ``error`` the reason why the file cannot be
used, else null.
"""
HASH_SIDE = 16
_SEEN_SIDE = 64
# However many threads wait for the network: those that compute only take the interpreter from each other.
_ONE_EACH = threading.BoundedSemaphore(os.cpu_count() or 1)
_FLAT = 1.0  # standard deviation, in grey levels, under which a picture has nothing to hash
_POWERS = np.stack([np.arange(256) ** power for power in range(3)])
_LOWEST = dct(np.eye(_SEEN_SIDE), norm="ortho", axis=0)[:HASH_SIDE].astype(np.float32)  # rows: cosines


def describe(source: Source, shape: Shape | None, entry: Entry) -> tuple[dict[str, Any], Pixels | None]:
    """Read a file and say what it is, by the columns of ``SCHEMA``.

    Returns:
        Its row, and its pixels as :func:`~flow_models.data.images.decode` gives them, if they are asked for and
        there are any.
    """
    split, class_, _ = entry.key.split("/", 2)
    row: dict[str, Any] = {"key": entry.key, "split": split, "class": class_, "bytes": entry.bytes}
    pixels = None
    try:
        content = source.read(entry.key)
        data = content.data
        row |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "version": content.version}
        with _ONE_EACH:
            found, pixels = _look(data, shape)
            row |= found
    except UnreadableError as error:
        row["error"] = str(error)
    return row, pixels


def describe_all(source: Source, kept: KeptPixels | None, code: str, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The row of each file, as many at once as the source can give; their pixels are kept.

    Raises:
        FlowModelsError: if ``code`` is not that of :func:`describing_code` here, or the source fails.
    """
    require_same(code, describing_code())
    rows = []
    work = partial(describe, source, kept.shape if kept else None)
    with pillow_silenced(), kept.keeping() if kept else nullcontext() as keep:
        for row, pixels in ordered_map(work, entries, threads=source.threads, title="", progress=False):
            rows.append(row)
            if keep is not None and pixels is not None:
                keep(row["sha256"], pixels)
    return rows


def describing_code() -> str:
    """A digest of what describes: as long as it is the same, so are the rows."""
    return code_digest(images, sys.modules[__name__])


def perceptual_hash(grey: Image.Image) -> str | None:
    """256 bits, as hexadecimal digits, that survive another size and another compression; None if all is of one grey.

    A bit says whether one of the 16 x 16 lowest frequencies of the picture, at 64 x 64, is above
    their median. Of 3,000 cat faces, copies at JPEG quality 75 or half the size differ in at most
    14 bits (95 % in 10), and different faces in 36 or more. Of a smooth picture, such as a piece of
    sky, the bits are noise: its copies are missed.

    References:
        Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1.
    """
    # By whole pixels first, as far as twice the size: of a large picture a third of the time, for up to 4 other bits.
    seen = grey.resize((_SEEN_SIDE, _SEEN_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    small = np.asarray(seen, np.float32)
    pixels = small.ravel()
    if pixels @ pixels / pixels.size - pixels.mean(dtype=np.float64) ** 2 < _FLAT**2:
        return None
    lowest = (_LOWEST @ small @ _LOWEST.T).ravel()  # of the two-dimensional DCT, only what is looked at
    middle = len(lowest) // 2
    lower, upper = np.partition(lowest, (middle - 1, middle))[middle - 1 : middle + 1]
    return np.packbits(lowest > (lower + upper) / 2).tobytes().hex()


def _look(content: bytes, shape: Shape | None) -> tuple[dict[str, Any], Pixels | None]:
    image = open_image(content)
    found: dict[str, Any] = {"width": image.width, "height": image.height, "mode": image.mode}
    if image.mode not in MODES:
        return found, None
    plain = eight_bit(image)
    # From the histogram: exact, and an image of 4096 x 4096 needs no copy in float64.
    by_channel = np.array(plain.histogram()).reshape(-1, 256)
    counts = by_channel.sum(axis=0)
    number, total, squares = (int(counts @ powers) for powers in _POWERS)
    mean, std = total / number, math.sqrt(number * squares - total**2) / number
    blank = bool((by_channel.max(axis=1) * len(by_channel) == number).all())
    found |= {"mean": mean, "std": std, "blank": blank, "phash": perceptual_hash(plain.convert("L"))}
    return found, fit(plain, shape) if shape else None
