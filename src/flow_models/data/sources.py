"""Where images are kept: what every source can do, and a local folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from flow_models.data.errors import UnreadableError
from flow_models.errors import FlowModelsError

RACY_SECONDS = 2.0  # a file that is younger may change once more without another time of change


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a source, or a folder, whose key ends in ``/``.

    Attributes:
        key: path below the source, with ``/``, such as ``train/cat/0042.jpg``.
        bytes: size; 0 for a folder.
        stamp: changes when the content does: the ETag in S3, inode and times of a local file.
            None if nothing can be concluded from it.
    """

    key: str
    bytes: int
    stamp: str | None = None


class Content(NamedTuple):
    """What a file holds, and the version by which a versioned bucket will give it again."""

    data: bytes
    version: str | None = None


class Source(Protocol):
    """Files by key. A source can be pickled: other processes read from it too.

    Attributes:
        uri: as the user wrote it, without a ``/`` at the end.
        place: what it stands for on this machine, with these AWS variables.
        threads: how many reads at once pay off.
        remote: whether a copy on the local disk is worth its place.
    """

    uri: str
    place: str
    threads: int
    remote: bool

    def list(self, under: str = "") -> Iterator[Entry]:
        """What lies below a folder at any depth, in the order of the keys; nothing if there is no such folder.

        A folder may have an entry of its own: always if it is local and empty, in S3 if it was made as one.

        Raises:
            FlowModelsError: if the source cannot be listed, or has a name outside UTF-8.
        """

    def read(self, key: str, *, version: str | None = None, sha256: str | None = None) -> Content:
        """The whole content; of a version that was read before, if it is given.

        With ``sha256``, what has another one is asked for again, as long as it may be the network's fault. It is
        given all the same if that is how it is stored: the caller compares.

        Raises:
            UnreadableError: if this file is gone, denied, or leads outside the source.
            FlowModelsError: if the source itself fails.
        """


def open_source(uri: str, *, connections: int = 32, requester_pays: bool = False) -> Source:
    """A folder, or ``s3://bucket/prefix`` with credentials, profile, region and endpoint from the usual AWS places.

    Args:
        uri: of either.
        connections: at once, to S3.
        requester_pays: accept that S3 bills the requests to the reader.

    Raises:
        FlowModelsError: if the folder does not exist, or the address is not one of these two.
    """
    if uri.startswith("s3://"):
        from flow_models.data.s3 import S3Source

        return S3Source(uri, connections=connections, requester_pays=requester_pays)
    if "://" in uri:
        raise FlowModelsError(f"{uri}: unknown kind of source; data.source is a folder or s3://bucket/prefix")
    return FolderSource(uri)


class FolderSource:
    """A local folder. Symbolic links are followed: what the user linked in belongs to it."""

    threads = 4
    remote = False

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") or "/"
        self._root = Path(uri)
        self.place = str(self._root.resolve())
        if not self._root.is_dir():
            what = "not a folder" if self._root.exists() else "no such folder"
            raise FlowModelsError(f"{self.uri}: {what}; correct data.source, or put train/<class>/… there")

    def __getstate__(self) -> dict[str, Any]:
        """For another process, whose working directory may be another."""
        return self.__dict__ | {"_root": Path(self.place)}

    def list(self, under: str = "") -> Iterator[Entry]:
        """See :class:`Source`."""
        folder = self._root / under
        if folder.is_dir():
            yield from self._walk(folder, above=())

    def read(self, key: str, *, version: str | None = None, sha256: str | None = None) -> Content:  # noqa: ARG002 - both are S3's
        """See :class:`Source`."""
        path = self._root / inside(key)
        try:
            if path.exists() and not path.is_file():  # a pipe would block for ever
                raise UnreadableError("not a regular file")
            return Content(path.read_bytes())
        except OSError as error:
            raise UnreadableError(f"cannot be read ({error.strerror})") from None

    def _walk(self, folder: Path, *, above: tuple[str, ...]) -> Iterator[Entry]:
        real = os.path.realpath(folder)
        if real in above:
            raise FlowModelsError(f"{folder}: a link to a folder that contains it; remove it")
        try:
            # As in S3, where "a-b/c" comes before "a/b": a folder stands where its contents do.
            children = sorted((f"{path.name}/" if path.is_dir() else path.name, path) for path in folder.iterdir())
        except OSError as error:
            raise FlowModelsError(f"{folder}: cannot be listed ({error.strerror}); correct its permissions") from None
        if not children:
            yield Entry(self._key(folder) + "/", 0)
        for name, child in children:
            if name.endswith("/"):
                yield from self._walk(child, above=(*above, real))
            else:
                yield self._entry(child)

    def _entry(self, path: Path) -> Entry:
        try:
            found = path.stat()
        except OSError:
            return Entry(self._key(path), 0)
        young = time.time() - found.st_ctime < RACY_SECONDS
        stamp = None if young else f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
        return Entry(self._key(path), found.st_size, stamp)

    def _key(self, path: Path) -> str:
        key = path.relative_to(self._root).as_posix()
        try:
            key.encode()
        except UnicodeEncodeError:
            shown = key.encode(errors="backslashreplace").decode()
            raise FlowModelsError(f"{self.uri}/{shown}: the name is not UTF-8; rename it") from None
        return key


def inside(key: str) -> str:
    """The key, unless it leads out of its source.

    Raises:
        UnreadableError: if it does: such a file is listed, and never read.
    """
    if key.startswith("/") or ".." in PurePosixPath(key).parts:
        raise UnreadableError("its key leads outside")
    return key
