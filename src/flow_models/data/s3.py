"""A prefix of an S3 bucket as a source, through whatever the network does to the answers."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.httpchecksum import StreamingChecksumBody
from botocore.parsers import ResponseParserError

from flow_models.data.errors import UnreadableError
from flow_models.data.s3_listing import parse_quickly
from flow_models.data.s3_quick import QuickReader
from flow_models.data.sources import Content, Entry, inside
from flow_models.errors import FlowModelsError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REQUESTS = 5  # by boto3, for one answer: as long as one waits for a server that may be down
ATTEMPTS = 10  # for a body that is spoilt, on its way here or there
_ROUNDS = 3  # of REQUESTS, when a server that has answered before does not
_BROKEN_OFF = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError, FlexibleChecksumError)
# S3 got another body than was sent; or an answer was lost, and what was asked for was done.
_SPOILT_ON_ITS_WAY = {"BadDigest", "XAmzContentSHA256Mismatch", "NoSuchUpload"}
_DENIED = {"AccessDenied", "403", "AllAccessDisabled"}
_OF_ONE_OBJECT = {
    "NoSuchKey": "gone",
    "AccessDenied": "access denied",
    "InvalidObjectState": "archived in Glacier",
    "KeyTooLongError": "its key is too long",
}


class S3Source:
    """A prefix of a bucket, read through boto3's own configuration.

    Credentials, ``AWS_PROFILE``, region and ``AWS_ENDPOINT_URL`` (or ``endpoint_url`` in the
    profile) are found where boto3 finds them. As many connections are kept as threads read.

    A body that breaks off is asked for again, and so is one that is not what its ETag or checksum
    says, or the reader knows. An ETag is no MD5 for objects in parts or under KMS, and in some stores
    never: where nothing tells whether a content is right, one that comes twice the same is believed.
    """

    remote = True

    def __init__(self, uri: str, *, connections: int = 32, requester_pays: bool = False) -> None:
        self.uri = uri.rstrip("/")
        self.threads = connections
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if not self._bucket:
            raise FlowModelsError(f"{uri}: names no bucket; data.source is a folder or s3://bucket/prefix")
        self.requester_pays = requester_pays
        self._who_pays: Any = {"RequestPayer": "requester"} if requester_pays else {}
        self._answered = False
        self._client, self._quick = self._connect()
        self.place = f"{self._client.meta.endpoint_url} {self._bucket} {self._prefix}"

    def __reduce__(self) -> tuple[Callable[..., S3Source], tuple[str, int, bool, str]]:
        """In another process: one, with its connections, for all that is sent there; credentials stay here."""
        return _opened, (self.uri, self.threads, self.requester_pays, self.place)

    def list(self, under: str = "") -> Iterator[Entry]:
        """See :class:`~flow_models.data.sources.Source`; S3 lists in the order of UTF-8, as Python sorts."""
        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + under, **self._who_pays):
                for found in page.get("Contents", []):
                    if key := found["Key"].removeprefix(self._prefix):
                        yield Entry(key, found["Size"], found["ETag"].strip('"'))
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            self._refuse(error)

    def read(self, key: str, *, version: str | None = None, sha256: str | None = None) -> Content:
        """See :class:`~flow_models.data.sources.Source`."""
        request: dict[str, str] = {"Bucket": self._bucket, "Key": self._prefix + inside(key), **self._who_pays}
        if version is not None:
            request["VersionId"] = version
        elif (content := self._quick.read(request["Key"], sha256)) is not None:
            return content
        try:
            return self._download(request, sha256)
        except ClientError as error:
            if version is not None and error.response["Error"]["Code"] == "NoSuchVersion":
                return self.read(key, sha256=sha256)  # expired; the newest may be the same content
            if (code := error.response["Error"]["Code"]) in _OF_ONE_OBJECT:
                raise UnreadableError(f"cannot be read ({_OF_ONE_OBJECT[code]})") from None
            self._refuse(error)
        except (BotoCoreError, ResponseParserError) as error:
            self._refuse(error)

    def put(self, key: str, path: Path) -> None:
        """Store a file under a key that is a name of its content: what is there already is not sent again.

        What is spoilt on its way, which S3 notices by boto3's checksum, is sent again.

        Raises:
            FlowModelsError: if S3 does not take it.
        """
        self._upload(key, path, stored=lambda: self.holds(key, path.stat().st_size))

    def replace(self, key: str, path: Path) -> None:
        """Store a file under a key, in the place of what may be there.

        Raises:
            FlowModelsError: if S3 does not take it.
        """
        self._upload(key, path, stored=lambda: False)

    def holds(self, key: str, size: int) -> bool:
        """Whether there is such a file of this size.

        Raises:
            FlowModelsError: if S3 does not say.
        """
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + inside(key), **self._who_pays)
        except ClientError as error:
            # Without s3:ListBucket, what is not there is forbidden.
            if _status(error) in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
                self._answered = True
                return False
            self._refuse(error)
        except (BotoCoreError, ResponseParserError) as error:
            self._refuse(error)
        self._answered = True
        return found["ContentLength"] == size

    def _upload(self, key: str, path: Path, *, stored: Callable[[], bool]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            if stored():
                return
            try:
                with path.open("rb") as file:
                    self._client.upload_fileobj(
                        file, self._bucket, self._prefix + inside(key), ExtraArgs=self._who_pays
                    )
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                if attempt == ATTEMPTS or not self._passes(error, attempt):
                    self._refuse(error, needs="s3:PutObject")
                _wait(attempt)
            else:
                return

    def _download(self, request: Any, sha256: str | None) -> Content:
        # boto3 repeats a failed request, but not an answer that breaks off midway.
        doubted: set[bytes] = set()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._client.get_object(**request)
                data = answer["Body"].read()
            except (ClientError, BotoCoreError) as error:
                if attempt == ATTEMPTS or not self._passes(error, attempt):
                    raise
            else:
                self._answered = True
                self._quick.learn(request["Key"])
                found = hashlib.sha256(data)
                if found.hexdigest() == sha256 or found.digest() in doubted or _is_as_stored(data, answer):
                    version = answer.get("VersionId")
                    return Content(data, None if version == "null" else version)
                doubted.add(found.digest())
            _wait(attempt)
        raise UnavailableError(f"{self.uri}: {request['Key']} comes differently each time; check the network")

    def _passes(self, error: Exception, attempt: int) -> bool:
        """Whether it is worth asking again."""
        if isinstance(error, _BROKEN_OFF) or _code(error) in _SPOILT_ON_ITS_WAY:
            return True
        failed = isinstance(error, HTTPClientError)
        if isinstance(error, ClientError):
            failed = _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR
        return failed and self._answered and attempt < _ROUNDS

    def _connect(self) -> tuple[S3Client, QuickReader]:
        config = Config(
            max_pool_connections=self.threads,
            retries={"mode": "adaptive", "max_attempts": REQUESTS},
            connect_timeout=10,
            read_timeout=60,
            tcp_keepalive=True,
            parameter_validation=False,  # a tenth of a request's time; the keys came from S3
        )
        try:
            session = boto3.Session()
            client = session.client("s3", config=config)
            parse_quickly(client)
            return client, QuickReader(client, session.get_credentials())
        except (BotoCoreError, ValueError) as error:  # ValueError: AWS_ENDPOINT_URL is not an address
            self._refuse(error)

    def _refuse(self, error: Exception, *, needs: str = "s3:ListBucket and s3:GetObject") -> NoReturn:
        """Say in one line what keeps the whole source from being read."""
        code = _code(error)
        status = _status(error) if isinstance(error, ClientError) else 0
        if code == "NoSuchBucket":
            raise FlowModelsError(f"s3://{self._bucket}: no such bucket; correct its name in params.yaml") from None
        if code in _DENIED:
            raise FlowModelsError(f"{self.uri}: access denied; these credentials need {needs} there") from None
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(f"{self.uri}: the server answers {code} ({status}); try again later") from None
        if code:
            what = f"refused with {code}; check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)"
            raise FlowModelsError(f"{self.uri}: {what}") from None
        reason = " ".join(str(error).split())
        unreachable = f"cannot be reached ({reason}); check the AWS_… variables and the network"
        raise UnavailableError(f"{self.uri}: {unreachable}") from None


def _wait(attempt: int) -> None:
    """Before the next attempt; not after the first, in which an answer may only have been doubted."""
    time.sleep(random.uniform(0, min(0.1 * (2 ** (attempt - 1) - 1), 5)))  # noqa: S311 - only spreads the load


def _code(error: Exception) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def _status(error: ClientError) -> int:
    answer: Any = error.response
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_as_stored(data: bytes, answer: Any) -> bool:
    """Whether S3 itself says so: boto3 has compared the body with a checksum of the whole, or the ETag is its MD5."""
    compared = isinstance(answer["Body"], StreamingChecksumBody)
    return compared or hashlib.md5(data, usedforsecurity=False).hexdigest() == answer["ETag"].strip('"')


@lru_cache(maxsize=4)
def _opened(uri: str, connections: int, requester_pays: bool, place: str) -> S3Source:
    source = S3Source(uri, connections=connections, requester_pays=requester_pays)
    if source.place != place:
        what = f"a worker would read {source.place}, not {place}; give it the same AWS_… variables"
        raise FlowModelsError(f"{uri}: {what}")
    return source
