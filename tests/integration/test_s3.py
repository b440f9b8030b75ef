import socket
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody

from flow_models.applications.image_scores import examine
from flow_models.applications.image_scoring import write_scores
from flow_models.data.cache import Cache
from flow_models.data.errors import UnreadableError
from flow_models.data.kept_pixels import KeptPixels
from flow_models.data.manifest import build_manifest, manifest_digest, read_manifest, write_manifest
from flow_models.data.s3 import S3Source
from flow_models.data.shards import write_shards
from flow_models.data.sources import Content, open_source
from flow_models.errors import FlowModelsError
from flow_models.evaluation.outlier_score import OutlierScore
from tests.integration.s3_server import S3Server
from tests.unit.applications.conftest import Gauss
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
    assert entries[0].stamp == "9dd4e461268c8034f5c8564e155c67a6"


def test_an_empty_class_folder_is_named(s3: S3Server, tmp_path: Path) -> None:
    s3.upload(write_images(tmp_path / "data"), "images")
    for marker in ("train/", "train/cat/", "val/bird/"):  # as the S3 console makes folders
        s3.client.put_object(Bucket="images", Key=marker)
    with pytest.raises(FlowModelsError, match="s3://images/val/bird/: an empty class folder"):
        build_manifest(open_source("s3://images"), progress=False)


def test_a_key_that_leads_outside_is_a_row_with_its_reason_and_never_read(s3: S3Server, tmp_path: Path) -> None:
    s3.upload(write_images(tmp_path / "data"), "images", "data/")
    s3.client.put_object(Bucket="images", Key="data/train/cat/../../../secret", Body=b"x")
    s3.client.put_object(Bucket="images", Key="data//train/cat/1.png", Body=b"beside train/")
    errors = build_manifest(open_source("s3://images/data"), progress=False).set_index("key")["error"].dropna()
    assert errors.to_dict() == {"train/cat/../../../secret": "its key leads outside"}


def test_odd_keys_are_read_as_they_are(s3: S3Server, tmp_path: Path) -> None:
    images = write_images(tmp_path / "data")
    content = (images / "train/cat/000.png").read_bytes()
    s3.upload(images, "images")
    # A line break is a matter of the local folder's test: the server refuses one.
    odd = ["a b  c.png", "ä\u0301 ß 猫.png", "100%+&?#=;.png", "猫" * 300, "//double", "quote'\".png", "x.PNG"]
    for name in odd:
        s3.client.put_object(Bucket="images", Key=f"train/cat/{name}", Body=content)
    manifest = build_manifest(open_source("s3://images"), progress=False).set_index("key")
    for name in odd:
        assert manifest.loc[f"train/cat/{name}", "sha256"] == manifest.loc["train/cat/000.png", "sha256"]
        assert pd.isna(manifest.loc[f"train/cat/{name}", "error"])


def test_a_missing_bucket_is_one_clear_line(s3: S3Server) -> None:
    with pytest.raises(FlowModelsError) as caught:
        build_manifest(open_source("s3://nowhere/data"), progress=False)
    assert str(caught.value) == "s3://nowhere: no such bucket; correct its name in params.yaml"


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
    assert S3Source("s3://images").read("key").data == b"content"


@pytest.mark.parametrize(("algorithm", "requests"), [("CRC32", 1), (None, 2)])
def test_an_object_whose_etag_is_no_md5_is_read_twice_unless_s3_has_a_checksum_of_it(
    s3: S3Server, algorithm: str | None, requests: int
) -> None:
    s3.client.create_bucket(Bucket="images")
    if algorithm:
        s3.client.put_object(Bucket="images", Key="key", Body=b"content", ChecksumAlgorithm=algorithm)
    else:
        s3.upload_in_parts("images", "key", b"content")
    source, asked = S3Source("s3://images"), []

    def note(parsed: dict[str, str], **_: object) -> None:
        asked.append(parsed.update(ETag='"0-1"'))

    source._client.meta.events.register("after-call.s3.GetObject", note)
    assert source.read("key").data == b"content"
    assert len(asked) == requests


def test_a_versioned_bucket_gives_the_shards_what_was_validated_even_if_it_was_replaced(
    s3: S3Server, tmp_path: Path
) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    data = write_images(tmp_path / "data")
    s3.upload(data, "images")
    source = open_source("s3://images")
    manifest = build_manifest(source, progress=False)
    assert manifest["version"].notna().all()
    s3.client.put_object(Bucket="images", Key="train/cat/000.png", Body=b"replaced")
    s3.client.delete_object(Bucket="images", Key="val/dog/000.png")
    local = open_source(str(data))
    expected = write_shards(build_manifest(local, progress=False), local, tmp_path / "local", **OPTIONS)
    assert write_shards(manifest, source, tmp_path / "shards", **OPTIONS) == expected


def test_a_version_that_has_expired_is_read_from_the_newest_if_that_is_the_same(s3: S3Server) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    old, new = (s3.client.put_object(Bucket="images", Key="key", Body=b"content")["VersionId"] for _ in range(2))
    s3.client.delete_object(Bucket="images", Key="key", VersionId=old)
    assert S3Source("s3://images").read("key", version=old) == Content(b"content", new)


def test_what_was_read_once_is_not_downloaded_for_the_shards(s3: S3Server, tmp_path: Path) -> None:
    s3.upload(write_images(tmp_path / "data"), "images")
    source, kept = S3Source("s3://images", connections=4), KeptPixels(Cache(tmp_path / "cache", limit=10**6), (8, 8, 1))
    write_manifest(source, tmp_path / "manifest.parquet", journals=tmp_path / "journals", kept=kept)
    manifest = read_manifest(tmp_path / "manifest.parquet")
    for key in manifest["key"]:
        s3.client.delete_object(Bucket="images", Key=key)
    index = write_shards(manifest, source, tmp_path / "shards", **OPTIONS, kept=kept)
    assert sum(split.count for split in index.splits.values()) == len(manifest)


def test_who_asks_pays_only_if_told_to(s3: S3Server, tmp_path: Path) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.client.put_object(Bucket="images", Key="train/cat/1", Body=b"content")
    for agreed in (False, True):
        source, payers = S3Source("s3://images", requester_pays=agreed), []
        headers = partial(_note_payer, payers)
        source._client.meta.events.register("before-send.s3", headers)
        assert [source.read(entry.key).data for entry in source.list("train/cat/1")] == [b"content"]
        (tmp_path / "file").write_bytes(b"another")
        source.put(f"train/cat/{agreed}", tmp_path / "file")
        assert payers == [b"requester" if agreed else None] * 4  # listing, reading, looking, storing


def _note_payer(payers: list[object], request: AWSRequest, **_: object) -> None:
    payers.append(request.headers.get("x-amz-request-payer"))


def test_images_in_a_bucket_are_scored_as_those_in_a_folder(s3: S3Server, tmp_path: Path) -> None:
    rng, model = np.random.default_rng(0), Gauss()
    known = np.clip(Gauss.center + Gauss.width * rng.normal(size=(40, *Gauss.event_shape)), 0, 255).astype(np.uint8)
    fitting, calibrating = (examine(model, each, noise_seed=0) for each in (known[:20], known[20:]))
    score = OutlierScore.fit(fitting, calibrating, noise_seed=0)
    (write_images(tmp_path / "data") / "val/ball/broken.jpg").write_text("<html>")
    s3.upload(tmp_path / "data", "images", "some/where/")
    tables = []
    for uri in (str(tmp_path / "data"), "s3://images/some/where"):
        done = write_scores(model, score, open_source(uri), tmp_path / "scores.parquet", alpha=0.1)
        assert (done.images, done.unreadable) == (36, 1)
        tables.append(pd.read_parquet(tmp_path / "scores.parquet"))
    pd.testing.assert_frame_equal(*tables)
