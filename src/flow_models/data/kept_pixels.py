"""Images at the network's size, kept from when they are described until they are packed: each is decoded once."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow_models.data import images
from flow_models.data.cache import Cache
from flow_models.data.cluster import code_digest

Pixels = NDArray[np.uint8]
Shape = tuple[int, int, int]
Keep = Callable[[str, Pixels], None]
_ENTRY = struct.Struct("<32sI")  # of an image: SHA-256 of its file, CRC-32 of its pixels
_FILE_BYTES = 2**24  # of pixels, that wait in memory to become a file
_OPEN = 200  # files at once


class KeptPixels:
    """Pixels by the SHA-256 of the file that they were made of, in files of a cache.

    A file holds the pixels of many images, and after them an entry for each. It appears complete or not at all.
    Pixels are checked when they are read: what is damaged, or had to make room, is not there.

    Args:
        cache: that bounds them, together with all else that it keeps.
        shape: height, width, channels: of each.
    """

    def __init__(self, cache: Cache, shape: Shape) -> None:
        self.shape = shape
        self._cache = cache
        self._bytes = prod(shape) + _ENTRY.size
        made_by = hashlib.sha256(f"{shape}\0{code_digest(images)}".encode()).hexdigest()
        self._folder = cache.folder(f"pixels-{made_by[:16]}")
        self._seen: set[Path] = set()
        self._places: dict[bytes, tuple[Path, int, int]] = {}
        self._opened = lru_cache(maxsize=_OPEN)(self._open)

    def __reduce__(self) -> tuple[Callable[[Cache, Shape], KeptPixels], tuple[Cache, Shape]]:
        """In another process: one for all that is sent there."""
        return _shared, (self._cache, self.shape)

    @contextmanager
    def keeping(self) -> Iterator[Keep]:
        """Yield what keeps the pixels of one file; all of them can be had when the block has ended well."""
        waiting: list[tuple[str, Pixels]] = []

        def keep(sha256: str, pixels: Pixels) -> None:
            waiting.append((sha256, pixels))
            if len(waiting) * self._bytes >= _FILE_BYTES:
                self._write(waiting)
                waiting.clear()

        yield keep
        if waiting:
            self._write(waiting)

    def look(self) -> None:
        """Take into account what has been kept, by whatever process, since the last look."""
        for path in sorted(set(self._folder.glob("*.pixels")) - self._seen):
            self._seen.add(path)
            try:
                count = path.stat().st_size // self._bytes
                with path.open("rb") as file:
                    file.seek(count * prod(self.shape))
                    entries = file.read(count * _ENTRY.size)
            except OSError:
                continue  # has made room
            for number, (sha256, check) in enumerate(_ENTRY.iter_unpack(entries)):
                self._places[sha256] = (path, number, check)

    def holds(self, sha256: str) -> bool:
        """Whether the last look has found the pixels of this file."""
        return bytes.fromhex(sha256) in self._places

    def get(self, sha256: str) -> Pixels | None:
        """The pixels of a file, of ``shape``; None if the last look has not found them, or they are damaged."""
        if (place := self._places.get(bytes.fromhex(sha256))) is None:
            return None
        path, number, check = place
        try:
            pixels: Pixels = self._opened(path)[number]
        except (OSError, ValueError):
            return None
        return pixels if _check(pixels) == check else None

    def _write(self, files: list[tuple[str, Pixels]]) -> None:
        entries = b"".join(_ENTRY.pack(bytes.fromhex(sha256), _check(pixels)) for sha256, pixels in files)
        name = f"{hashlib.sha256(entries).hexdigest()}.pixels"
        self._cache.keep(self._folder / name, b"".join([*(pixels.tobytes() for _, pixels in files), entries]))

    def _open(self, path: Path) -> Pixels:
        self._cache.touch(path)
        return np.memmap(path, np.uint8, "r", shape=(path.stat().st_size // self._bytes, *self.shape))


def _check(pixels: Pixels) -> int:
    return zlib.crc32(pixels.data)


@lru_cache(maxsize=4)
def _shared(cache: Cache, shape: Shape) -> KeptPixels:
    return KeptPixels(cache, shape)
