"""What is asked of S3 and parsed without boto3: the same as with it, or boto3 after all."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from flow_models.data import s3_quick
from flow_models.data.errors import UnreadableError
from flow_models.data.s3 import S3Source
from flow_models.data.sources import Content
from flow_models.errors import UnavailableError
from tests.integration.fault_proxy import FAULTS, faulty
from tests.integration.s3_server import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = ["some/first.png", "some/a b  c.png", "some/ä\u0301 猫.png", "some/100%+&?#=;~.png", "some/quote'\".png"]


@pytest.fixture
def stored(s3: S3Server) -> S3Server:
    """A server with a few objects in the bucket ``images``, each of which holds its own key."""
    s3.client.create_bucket(Bucket="images")
    for key in KEYS:
        s3.client.put_object(Bucket="images", Key=key, Body=key.encode())
    return s3


def asked_of_boto3(source: S3Source) -> list[str]:
    """Gets the key of each object that boto3 is asked for from now on."""
    keys: list[str] = []

    def note(params: dict[str, str], **_: object) -> None:
        keys.append(params["url_path"])

    source._client.meta.events.register("before-call.s3.GetObject", note)
    return keys


@pytest.mark.parametrize("pays", [False, True])
def test_boto3_is_asked_for_the_first_object_alone(
    stored: S3Server, monkeypatch: pytest.MonkeyPatch, *, pays: bool
) -> None:
    source = S3Source("s3://images/some", requester_pays=pays)
    asked, send, payers = asked_of_boto3(source), source._quick._connections.send, []

    def note(request: AWSPreparedRequest) -> AWSResponse:
        payers.append(request.headers.get("x-amz-request-payer"))
        return send(request)

    monkeypatch.setattr(source._quick._connections, "send", note)
    assert [source.read(entry.key).data.decode() for entry in source.list()] == sorted(KEYS)
    assert len(asked) == 1
    assert payers[2:] == ["requester" if pays else None] * (len(KEYS) - 1)  # after the listing and the first


def test_the_version_comes_along(s3: S3Server) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    put = s3.client.put_object(Bucket="images", Key="key", Body=b"content")
    source = S3Source("s3://images")
    assert [source.read("key") for _ in range(2)] == [Content(b"content", put["VersionId"])] * 2


def test_what_boto3_would_not_give_it_is_asked_for(stored: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_quick, "PAUSE", 0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with faulty(stored.endpoint_url, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        source = S3Source("s3://images")
        source.read(KEYS[0])
        proxy.share = 0.5
        while set(proxy.done) != set(FAULTS):
            assert [source.read(key).data.decode() for key in KEYS] == KEYS
        proxy.share, asked = 0, asked_of_boto3(source)
        with pytest.raises(UnreadableError, match="gone"):
            source.read("some/thing")
        assert len(asked) == 1


def test_after_an_answer_that_was_none_boto3_does_all_for_a_while(
    stored: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = S3Source("s3://images")
    source.read(KEYS[0])
    asked = asked_of_boto3(source)
    with pytest.raises(UnreadableError, match="gone"):
        source.read("some/thing")
    source.read(KEYS[0])
    assert len(asked) == 2
    monkeypatch.setattr(source._quick, "_paused_until", 0.0)
    source.read(KEYS[0])
    assert len(asked) == 2


def test_a_boto3_that_signs_otherwise_does_all(stored: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_quick, "_SIGNED", re.compile("AWS5"))
    source = S3Source("s3://images")
    asked = asked_of_boto3(source)
    assert [source.read(key).data.decode() for key in KEYS] == KEYS
    assert len(asked) == len(KEYS)


def test_a_boto3_that_is_built_otherwise_does_all(stored: S3Server) -> None:
    source = S3Source("s3://images")
    connections = source._client._endpoint.__dict__.pop("http_session")
    source._quick = s3_quick.QuickReader(source._client, None)
    source._client._endpoint.http_session = connections  # it works on, but where nobody would look for it
    asked = asked_of_boto3(source)
    assert [source.read(key).data.decode() for key in KEYS] == KEYS
    assert len(asked) == len(KEYS)


def test_a_listing_is_what_boto3_would_make_of_it(stored: S3Server) -> None:
    def pages(client: S3Client) -> list[Any]:
        paginator = client.get_paginator("list_objects_v2")
        return list(paginator.paginate(Bucket="images", PaginationConfig={"PageSize": 2}))

    client = S3Source("s3://images")._client
    for quick, page in zip(pages(client), pages(stored.client), strict=True):
        assert quick["Contents"] == [
            {name: each[name] for name in ("Key", "Size", "ETag")} for each in page["Contents"]
        ]
        for name in set(page) - {"Contents", "ResponseMetadata", "NextContinuationToken"}:
            assert quick[name] == page[name]
    assert "Contents" not in client.list_objects_v2(Bucket="images", Prefix="none")


def test_a_page_that_is_no_xml_is_left_to_boto3(stored: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    source = S3Source("s3://images")
    monkeypatch.setattr("time.sleep", lambda _: None)
    source._client.meta.events.register_first(
        "before-parse.s3.ListObjectsV2", lambda response_dict, **_: response_dict.update(body=b"<html>")
    )
    with pytest.raises(UnavailableError, match=r"s3://images: cannot be reached .*invalid XML"):
        list(source.list())


def test_an_object_in_parts_is_whole_if_it_has_the_sha256_that_is_known(s3: S3Server) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.upload_in_parts("images", "key", b"content")
    source, known = S3Source("s3://images"), hashlib.sha256(b"content").hexdigest()
    asked = asked_of_boto3(source)
    assert [source.read("key", sha256=known).data for _ in range(3)] == [b"content"] * 3
    assert len(asked) == 1
