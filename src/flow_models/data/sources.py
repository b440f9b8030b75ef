"""Where images are kept: a folder, or a prefix of an S3 bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError

from flow_models.data.errors import UnreadableError
from flow_models.errors import FlowModelsError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Entry:
    """A file of a source, or a folder, whose key ends in ``/``.

    Attributes:
        key: path below the source, with ``/``, such as ``train/cat/0042.jpg``.
        bytes: size; 0 for a folder.
        etag: what S3 calls this version of the object; None for a local file.
    """

    key: str
    bytes: int
    etag: str | None = None


class Source(Protocol):
    """Files by key.

    Attributes:
        uri: as the user wrote it, without a ``/`` at the end.
        threads: how many reads at once pay off.
    """

    uri: str
    threads: int

    def list(self, under: str = "") -> Iterator[Entry]:
        """What lies below a folder at any depth, in no particular order; nothing if there is no such folder.

        A folder may have an entry of its own: always if it is local and empty, in S3 if it was made as one.

        Raises:
            FlowModelsError: if the source cannot be listed, or has a key with ``..`` or outside UTF-8.
        """

    def read(self, key: str) -> bytes:
        """The whole content.

        Raises:
            UnreadableError: if this file is gone or denied.
            FlowModelsError: if the source itself fails.
        """


def open_source(uri: str) -> Source:
    """A folder, or ``s3://bucket/prefix`` with credentials, region and endpoint from the usual AWS places.

    Raises:
        FlowModelsError: if the folder does not exist, or the address is not one of these two.
    """
    if uri.startswith("s3://"):
        return S3Source(uri)
    if "://" in uri:
        raise FlowModelsError(f"{uri}: unknown kind of source; data.source is a folder or s3://bucket/prefix")
    return FolderSource(uri)


class FolderSource:
    """A local folder. Symbolic links are followed: what the user linked in belongs to it."""

    threads = 4

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") or "/"
        self._root = Path(uri)
        if not self._root.is_dir():
            what = "not a folder" if self._root.exists() else "no such folder"
            raise FlowModelsError(f"{self.uri}: {what}; correct data.source, or put train/<class>/… there")

    def list(self, under: str = "") -> Iterator[Entry]:
        """See :class:`Source`."""
        folder = self._root / _safe(under, self.uri)
        if folder.is_dir():
            yield from self._walk(folder, above=())

    def read(self, key: str) -> bytes:
        """See :class:`Source`."""
        path = self._root / _safe(key, self.uri)
        try:
            if path.exists() and not path.is_file():  # a pipe would block for ever
                raise UnreadableError("not a regular file")
            return path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"cannot be read ({error.strerror})") from None

    def _walk(self, folder: Path, *, above: tuple[str, ...]) -> Iterator[Entry]:
        real = os.path.realpath(folder)
        if real in above:
            raise FlowModelsError(f"{folder}: a link to a folder that contains it; remove it")
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            raise FlowModelsError(f"{folder}: cannot be listed ({error.strerror}); correct its permissions") from None
        if not children:
            yield Entry(self._key(folder) + "/", 0)
        for child in children:
            if child.is_dir():
                yield from self._walk(child, above=(*above, real))
            else:
                yield Entry(self._key(child), child.stat().st_size if child.exists() else 0)

    def _key(self, path: Path) -> str:
        key = path.relative_to(self._root).as_posix()
        try:
            key.encode()
        except UnicodeEncodeError:
            shown = key.encode(errors="backslashreplace").decode()
            raise FlowModelsError(f"{self.uri}/{shown}: the name is not UTF-8; rename it") from None
        return key


class S3Source:
    """A prefix of a bucket, read through boto3's default credential chain; AWS_ENDPOINT_URL is honoured."""

    threads = 32

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if not self._bucket:
            raise FlowModelsError(f"{uri}: names no bucket; data.source is a folder or s3://bucket/prefix")
        self._client = self._connect()

    def list(self, under: str = "") -> Iterator[Entry]:
        """See :class:`Source`."""
        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + _safe(under, self.uri)):
                for found in page.get("Contents", []):
                    key = _safe(found["Key"].removeprefix(self._prefix), self.uri)
                    if key:
                        yield Entry(key, found["Size"], found["ETag"].strip('"'))
        except (ClientError, BotoCoreError) as error:
            self._refuse(error)

    def read(self, key: str) -> bytes:
        """See :class:`Source`."""
        try:
            return self._download(self._prefix + _safe(key, self.uri))
        except ClientError as error:
            reason = {"NoSuchKey": "gone", "AccessDenied": "access denied", "InvalidObjectState": "archived in Glacier"}
            if (code := error.response["Error"]["Code"]) in reason:
                raise UnreadableError(f"cannot be read ({reason[code]})") from None
            self._refuse(error)
        except BotoCoreError as error:
            self._refuse(error)

    def _download(self, key: str, *, attempts: int = 3) -> bytes:
        # boto3 repeats a failed request, but not an answer that breaks off midway.
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ResponseStreamingError, IncompleteReadError):
            if attempts == 1:
                raise
            return self._download(key, attempts=attempts - 1)

    def _connect(self) -> S3Client:
        config = Config(
            max_pool_connections=self.threads,
            retries={"mode": "adaptive", "max_attempts": 5},
            connect_timeout=10,
            read_timeout=60,
        )
        try:
            return boto3.Session().client("s3", config=config)
        except (BotoCoreError, ValueError) as error:  # ValueError: AWS_ENDPOINT_URL is not an address
            self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        """Say in one line what keeps the whole source from being read."""
        response: Any = error.response if isinstance(error, ClientError) else {}
        code = response.get("Error", {}).get("Code", "")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            raise FlowModelsError(f"s3://{self._bucket}: no such bucket; correct data.source") from None
        if code in {"AccessDenied", "403", "AllAccessDisabled"}:
            what = "access denied; these credentials need s3:ListBucket and s3:GetObject there"
            raise FlowModelsError(f"{self.uri}: {what}") from None
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(f"{self.uri}: the server answers {code} ({status}); try again later") from None
        if code:
            what = f"refused with {code}; check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)"
            raise FlowModelsError(f"{self.uri}: {what}") from None
        reason = " ".join(str(error).split())
        unreachable = f"cannot be reached ({reason}); check the AWS_… variables and the network"
        raise UnavailableError(f"{self.uri}: {unreachable}") from None


def _safe(key: str, uri: str) -> str:
    """The key, unless it leads out of its source."""
    if ".." in PurePosixPath(key).parts or key.startswith("/"):
        raise FlowModelsError(f"{uri}: the key {key!r} leads outside; rename it")
    return key
