import socket
from pathlib import Path

import pytest
from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody

from flow_models.data.errors import UnreadableError
from flow_models.data.manifest import build_manifest, manifest_digest
from flow_models.data.shards import write_shards
from flow_models.data.sources import S3Source, open_source
from flow_models.errors import FlowModelsError
from tests.integration.s3_server import S3Server
from tests.unit.data.folders import write_images

OPTIONS = {"shape": (8, 8, 1), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}


@pytest.mark.parametrize("prefix", ["", "some/where/"])
def test_a_bucket_and_a_folder_with_the_same_images_are_the_same_data(
    s3: S3Server, tmp_path: Path, prefix: str
) -> None:
    write_images(tmp_path / "data")
    s3.upload(tmp_path / "data", "images", prefix)
    s3.client.put_object(Bucket="images", Key=f"{prefix}train-old/cat/1.png", Body=b"beside")
    manifests, indices = [], []
    for number, uri in enumerate([str(tmp_path / "data"), f"s3://images/{prefix}"]):
        source = open_source(uri)
        manifests.append(build_manifest(source, progress=False))
        indices.append(write_shards(manifests[-1], source, tmp_path / f"shards{number}", **OPTIONS))
    assert manifests[0].equals(manifests[1])
    assert manifest_digest(manifests[0]) == manifest_digest(manifests[1])
    assert indices[0] == indices[1]


def test_more_objects_than_one_page_are_all_listed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    s3.client.create_bucket(Bucket="images")
    for number in range(7):
        s3.client.put_object(Bucket="images", Key=f"train/cat/{number}", Body=b"x")
    assert s3.client.list_objects_v2(Bucket="images")["IsTruncated"]
    entries = list(open_source("s3://images").list("train/"))
    assert len(entries) == 7
    assert entries[0].bytes == 1
    assert entries[0].etag == "9dd4e461268c8034f5c8564e155c67a6"


def test_an_empty_class_folder_is_named(s3: S3Server, tmp_path: Path) -> None:
    s3.upload(write_images(tmp_path / "data"), "images")
    for marker in ("train/", "train/cat/", "val/bird/"):  # as the S3 console makes folders
        s3.client.put_object(Bucket="images", Key=marker)
    with pytest.raises(FlowModelsError, match="s3://images/val/bird/: an empty class folder"):
        build_manifest(open_source("s3://images"), progress=False)


@pytest.mark.parametrize("key", ["train/../../secret", "../secret"])
def test_a_key_that_leads_outside_is_refused(s3: S3Server, key: str) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.client.put_object(Bucket="images", Key=f"data/{key}", Body=b"x")
    with pytest.raises(FlowModelsError, match="leads outside"):
        list(open_source("s3://images/data").list())


def test_a_missing_bucket_is_one_clear_line(s3: S3Server) -> None:
    with pytest.raises(FlowModelsError) as caught:
        build_manifest(open_source("s3://nowhere/data"), progress=False)
    assert str(caught.value) == "s3://nowhere: no such bucket; correct data.source"


def test_a_prefix_without_images_is_one_clear_line(s3: S3Server, tmp_path: Path) -> None:
    s3.upload(write_images(tmp_path / "data"), "images")
    with pytest.raises(FlowModelsError, match="s3://images/elsewhere: no images in train/"):
        build_manifest(open_source("s3://images/elsewhere"), progress=False)


def test_refused_credentials_are_one_clear_line(s3: S3Server, tmp_path: Path) -> None:
    s3.upload(write_images(tmp_path / "data"), "images")
    s3.trust_nobody()
    with pytest.raises(FlowModelsError, match=r"s3://images: refused with .*; check the credentials") as caught:
        build_manifest(open_source("s3://images"), progress=False)
    assert "\n" not in str(caught.value)


def test_no_credentials_are_one_clear_line(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(FlowModelsError, match=r"s3://images: cannot be reached \(Unable to locate credentials\)"):
        build_manifest(open_source("s3://images"), progress=False)


def test_an_address_where_nobody_answers_is_one_clear_line(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setattr("time.sleep", lambda _: None)
        with pytest.raises(FlowModelsError, match="s3://images: cannot be reached"):
            build_manifest(open_source("s3://images"), progress=False)


@pytest.mark.parametrize("url", ["not an address", "http://"])
def test_an_endpoint_that_is_no_address_is_one_clear_line(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(FlowModelsError, match="s3://images: cannot be reached"):
        open_source("s3://images").read("key")


def test_an_object_that_is_gone_is_unreadable_alone(s3: S3Server) -> None:
    s3.client.create_bucket(Bucket="images")
    with pytest.raises(UnreadableError, match="gone"):
        open_source("s3://images").read("train/cat/1.png")


def test_a_download_that_breaks_off_is_repeated(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.client.put_object(Bucket="images", Key="key", Body=b"content")
    breaks = iter([True, True, False])
    read = StreamingBody.read

    def unreliable(body: StreamingBody, amt: int | None = None) -> bytes:
        if next(breaks):
            raise IncompleteReadError(actual_bytes=1, expected_bytes=7)
        return read(body, amt)

    monkeypatch.setattr(StreamingBody, "read", unreliable)
    assert S3Source("s3://images").read("key") == b"content"
