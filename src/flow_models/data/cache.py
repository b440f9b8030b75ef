"""A local, content-addressed copy of what was downloaded: by SHA-256, bounded, least recently used out first."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from flow_models.data.digests import file_sha256
from flow_models.errors import FlowModelsError

_log = logging.getLogger(__name__)
_LOCK_DIGITS = 3  # of the name: one lock for every 4096th object, so that the locks do not outnumber the objects
_KEPT = 0.9  # of the limit, when room is made


class Cache:
    """Files named after their content.

    An object appears under its name complete or not at all, and its hash is checked whenever it is
    read: what has been damaged is dropped. Any number of processes may share a folder.

    Args:
        folder: created when needed; may be deleted at any time.
        limit: bytes; 0 keeps nothing. A process that fills it looks at what lies there when it
            starts and when its own count reaches the limit.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._guard = threading.Lock()
        self._bytes: int | None = None
        self._full = False

    def __reduce__(self) -> tuple[Callable[[Path, int], Cache], tuple[Path, int]]:
        """In another process: one for all that is sent there."""
        return _shared, (self._folder.absolute(), self._limit)

    def get(self, sha256: str) -> bytes | None:
        """The content with this hash; None if it is not here."""
        path = self._path(sha256)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            path.unlink(missing_ok=True)
            return None
        self.touch(path)
        return content

    def put(self, sha256: str, content: bytes) -> None:
        """Keep a content whose hash is known; a disk that is full is no error, but the end of keeping."""
        self.keep(self._path(sha256), content)

    def folder(self, name: str) -> Path:
        """Where whoever wants to name and check files himself may :meth:`keep` them; they make room like others."""
        return self._folder / "objects" / name

    def touch(self, path: Path) -> None:
        """Say that a file is used now: the order in which room is made."""
        with suppress(OSError):
            os.utime(path)

    def keep(self, path: Path, content: bytes) -> None:
        """Keep a file, whole or not at all; a disk that is full is no error, but the end of keeping."""
        if self._full or len(content) > self._limit or path.exists():
            return
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.unfinished")
            try:
                unfinished.write_bytes(content)
                unfinished.replace(path)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._full = True
            _log.warning("%s: cannot be written (%s); what is downloaded is not kept", self._folder, error.strerror)
        else:
            self._account(len(content))

    def fetch(self, sha256: str, download: Callable[[], bytes]) -> bytes:
        """The content from here, or else downloaded, by one process only, and kept.

        The caller checks what ``download`` returned; it is kept only if its hash is this one.
        """
        if (content := self.get(sha256)) is not None:
            return content
        if self._full or not self._limit:
            return download()
        with self._lock(sha256):
            if (content := self.get(sha256)) is not None:
                return content
            content = download()
            if hashlib.sha256(content).hexdigest() == sha256:
                self.put(sha256, content)
            return content

    def path(self, sha256: str, download: Callable[[], bytes]) -> Path:
        """A file with this content, downloaded again if it is damaged; it stays until others need the room.

        Raises:
            FlowModelsError: if it cannot be kept.
        """
        path = self._path(sha256)
        with suppress(OSError):
            if file_sha256(path) == sha256:
                self.touch(path)
                return path
        content = self.fetch(sha256, download)
        if not path.is_file():
            raise FlowModelsError(f"{self._folder}: no room for {len(content)} bytes; make some and run this again")
        return path

    def _path(self, sha256: str) -> Path:
        return self.folder(sha256[:2]) / sha256

    def _lock(self, sha256: str) -> FileLock:
        locks = self._folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / sha256[:_LOCK_DIGITS], thread_local=False)

    def _account(self, added: int) -> None:
        with self._guard:
            self._bytes = self._measure() if self._bytes is None else self._bytes + added
            if self._bytes > self._limit:
                self._bytes = self._make_room()

    def _measure(self) -> int:
        return sum(size for _, size, _ in self._objects())

    def _make_room(self) -> int:
        """Remove the least recently used objects, and what killed runs left, until a tenth is free."""
        objects = sorted(self._objects())
        total = sum(size for _, size, _ in objects)
        for _, size, path in objects:
            if total <= _KEPT * self._limit:
                break
            with suppress(OSError):
                Path(path).unlink()
                total -= size
        return total

    def _objects(self) -> list[tuple[int, int, str]]:
        """When each was last used, its bytes and its path."""
        found = []
        for folder in (self._folder / "objects").glob("*"):
            with suppress(OSError), os.scandir(folder) as files:
                for file in files:
                    with suppress(OSError):
                        found.append((file.stat().st_mtime_ns, file.stat().st_size, file.path))
        return found


@lru_cache(maxsize=4)
def _shared(folder: Path, limit: int) -> Cache:
    return Cache(folder, limit=limit)
