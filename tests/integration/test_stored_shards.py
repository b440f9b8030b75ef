"""Shards that lie in S3: found under their content, read through the local disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

from flow_models.data.manifest import build_manifest
from flow_models.data.pipeline import load_split, training_batches
from flow_models.data.s3 import S3Source
from flow_models.data.shards import Index, write_shards
from flow_models.data.sources import Source, open_source
from flow_models.errors import FlowModelsError
from tests.integration.s3_server import S3Server
from tests.unit.data.folders import write_images

OPTIONS = {"shape": (8, 8, 1), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}
PLACE = "s3://prepared/some/where"
Write = Callable[[str | None], Index]


@pytest.fixture
def write(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Makes shards of the same images in ``stored`` or ``local``, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    s3.client.create_bucket(Bucket="prepared")
    s3.client.put_bucket_versioning(Bucket="prepared", VersioningConfiguration={"Status": "Enabled"})
    source = open_source(str(write_images(tmp_path / "data")))
    manifest = build_manifest(source, progress=False)
    return lambda place: write_shards(
        manifest, source, tmp_path / ("stored" if place else "local"), **OPTIONS, store=place and S3Source(place)
    )


def stored(s3: S3Server) -> dict[str, str]:
    """The newest version of each object."""
    versions = s3.client.list_object_versions(Bucket="prepared")["Versions"]
    return {each["Key"]: each["VersionId"] for each in versions if each["IsLatest"]}


def test_training_sees_the_same_batches_from_s3_and_from_a_folder(s3: S3Server, tmp_path: Path, write: Write) -> None:
    assert write(PLACE) == replace(write(None), location=PLACE)
    batches = [
        np.stack(list(training_batches(tmp_path / place, batch_size=4, seed=0, epoch=1)))
        for place in ("local", "stored")
    ]
    assert np.array_equal(*batches)
    (fetched,) = (path for path in (tmp_path / ".cache/data/shards/objects").rglob("*") if path.is_file())
    fetched.write_bytes(fetched.read_bytes()[:-1])  # damaged: it is fetched again
    assert np.array_equal(batches[0], list(training_batches(tmp_path / "stored", batch_size=4, seed=0, epoch=1)))
    load_split(tmp_path / "stored", "val")
    for name in stored(s3):
        s3.client.delete_object(Bucket="prepared", Key=name)
    assert load_split(tmp_path / "stored", "val").keys.tolist() == load_split(tmp_path / "local", "val").keys.tolist()


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_is_there_already_is_not_sent_again(
    s3: S3Server, tmp_path: Path, write: Write, *, forgotten: bool
) -> None:
    index = write(PLACE)
    before = stored(s3)
    names = {f"some/where/{file.sha256}.tfrecord" for split in index.splits.values() for file in split.files}
    assert set(before) == names
    s3.client.delete_object(Bucket="prepared", Key=min(names))
    s3.client.put_object(Bucket="prepared", Key=max(names), Body=b"half")
    if forgotten:
        (tmp_path / "stored/index.json").unlink()
    assert write(PLACE) == index
    after = stored(s3)
    assert [name for name in names if before[name] == after[name]] == [sorted(names)[1]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda client, key: client.delete_object(Bucket="prepared", Key=key), "gone.*; run `flow-models data shard`"),
        (lambda client, key: client.put_object(Bucket="prepared", Key=key, Body=b"x"), "another content; remove it"),
    ],
)
def test_a_shard_that_is_not_what_it_was_is_one_line(
    s3: S3Server, tmp_path: Path, write: Write, spoil: Callable[..., object], message: str
) -> None:
    (file,) = write(PLACE).splits["val"].files
    name = file.sha256
    spoil(s3.client, f"some/where/{name}.tfrecord")
    with pytest.raises(FlowModelsError, match=rf"{PLACE}/{name}.tfrecord: .*{message}"):
        load_split(tmp_path / "stored", "val")


@pytest.mark.parametrize("agreed", [False, True])
def test_who_reads_shards_pays_if_who_stored_them_did(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, agreed: bool
) -> None:
    monkeypatch.setattr("tests.integration.test_stored_shards.S3Source", partial(S3Source, requester_pays=agreed))
    write(PLACE)
    asked: list[bool] = []

    def opened(*of: str, requester_pays: bool, **others: int) -> Source:
        asked.append(requester_pays)
        return open_source(*of, requester_pays=requester_pays, **others)

    monkeypatch.setattr("flow_models.data.fetching.open_source", opened)
    load_split(tmp_path / "stored", "val")
    assert asked == [agreed]


def test_a_bucket_that_is_not_there_is_one_line_and_the_old_shards_stay(
    s3: S3Server, tmp_path: Path, write: Write
) -> None:
    write(PLACE)
    before = (tmp_path / "stored/index.json").read_bytes()
    with pytest.raises(FlowModelsError, match=r"s3://nowhere: no such bucket; correct its name in params.yaml"):
        write("s3://nowhere")
    assert (tmp_path / "stored/index.json").read_bytes() == before


def test_a_worker_that_would_read_another_server_is_told_so(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = ForkingPickler.dumps(S3Source("s3://images/there", connections=3))
    assert ForkingPickler.loads(sent).place == S3Source("s3://images/there").place
    assert ForkingPickler.loads(sent) is ForkingPickler.loads(sent)
    sent = ForkingPickler.dumps(S3Source("s3://images/other"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(FlowModelsError, match=r"s3://images/other: a worker would read http://127.0.0.1:1 .*AWS_"):
        ForkingPickler.loads(sent)
