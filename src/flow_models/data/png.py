"""PNG files whose bytes do not depend on a library's version."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

LONGEST_BLOCK = 0xFFFF


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A grey image as a PNG file, uncompressed.

    Encoders compress differently from one build of zlib to the next; a stored block leaves
    nothing to choose.

    Args:
        image: ``(height, width)``, less than 64 KiB.

    Raises:
        ValueError: if it is larger.

    References:
        W3C, Portable Network Graphics, sections 5 and 11; RFC 1950 and 1951, section 3.2.4.
    """
    height, width = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(image))  # 0: no filter
    if len(rows) > LONGEST_BLOCK:
        raise ValueError(f"{len(rows)} bytes do not fit into one stored block")
    stored = struct.pack("<BHH", 1, len(rows), len(rows) ^ LONGEST_BLOCK) + rows
    compressed = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", compressed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
