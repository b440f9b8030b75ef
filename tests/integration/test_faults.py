"""What bad networks, busy servers, full disks and sudden ends do to the data: nothing, or one clear line."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flow_models.data import manifest as module
from flow_models.data import packing, shards
from flow_models.data.fetching import fetcher
from flow_models.data.manifest import Summary, read_manifest, write_manifest
from flow_models.data.pipeline import load_split
from flow_models.data.s3 import S3Source
from flow_models.data.shards import Index, read_index, write_shards
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError, UnavailableError
from tests.integration.fault_proxy import FAULTS, FaultProxy, faulty
from tests.integration.s3_server import S3Server
from tests.unit.data.folders import CLASSES, write_images

OPTIONS = {"shape": (8, 8, 1), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}
IMAGES = sum(CLASSES.values())


@pytest.fixture
def proxy(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Before a server with some images in the bucket ``images``; nothing is spoilt yet."""
    s3.upload(write_images(tmp_path / "data"), "images")
    with faulty(s3.endpoint_url, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def described(folder: Path, uri: str = "s3://images") -> Summary:
    return write_manifest(open_source(uri), folder / "manifest.parquet", journals=folder / "journals")


def shard(folder: Path, uri: str = "s3://images", *, seed: int = 0, manifest: Path | None = None) -> dict[str, bytes]:
    """The files of the shards, made without a cache: every image is read a second time."""
    rows = read_manifest(manifest or folder / "manifest.parquet")
    write_shards(rows, open_source(uri), folder / "shards", **OPTIONS | {"seed": seed})
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


@pytest.fixture
def manifest(s3: S3Server, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Of the images; beside them is an empty bucket ``prepared``."""
    monkeypatch.chdir(tmp_path)
    s3.client.create_bucket(Bucket="prepared")
    described(tmp_path)
    return read_manifest(tmp_path / "manifest.parquet")


def store(manifest: pd.DataFrame) -> Index:
    """Shards in ``prepared``, and their index in ``stored``."""
    return write_shards(
        manifest, open_source("s3://images"), Path("stored"), **OPTIONS, store=S3Source("s3://prepared")
    )


def test_the_shards_are_the_same_though_a_fifth_of_the_answers_is_spoilt(proxy: FaultProxy, tmp_path: Path) -> None:
    clean = described(tmp_path / "clean")
    expected = shard(tmp_path / "clean")
    proxy.share = 0.2
    assert described(tmp_path / "spoilt") == clean
    assert shard(tmp_path / "spoilt") == expected
    assert set(proxy.done) == set(FAULTS)


def test_shards_in_s3_are_the_same_though_a_fifth_of_the_answers_is_spoilt(
    proxy: FaultProxy, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    expected = shard(tmp_path)
    del expected["index.json"]
    proxy.share = 0.2
    index = store(manifest)
    fetch, files = fetcher(Path("stored"), index), [file for split in index.splits.values() for file in split.files]
    assert {file.name: fetch(file).read_bytes() for file in files} == expected
    assert replace(index, location=None) == read_index(tmp_path / "shards")
    assert set(proxy.done) == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_sent_in_parts_arrives_whole_though_each_step_is_spoilt(
    s3: S3Server, proxy: FaultProxy, tmp_path: Path, fault: str
) -> None:
    s3.client.create_bucket(Bucket="prepared")
    (tmp_path / "file").write_bytes(content := random.Random(0).randbytes(9 * 2**20))
    steps = (
        ["PUT .*partNumber=2"] if fault == "flip" else ["HEAD", "POST .*uploads", "PUT .*partNumber=2", "POST .*Id="]
    )
    proxy.once = dict.fromkeys(steps, fault)
    S3Source("s3://prepared").put("file", tmp_path / "file")
    assert not proxy.once
    assert s3.client.get_object(Bucket="prepared", Key="file")["Body"].read() == content


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (400, "ExpiredToken", "s3://prepared: refused with ExpiredToken; check the credentials"),
        (403, "AccessDenied", "s3://prepared: access denied; these credentials need s3:PutObject there"),
        (404, "NoSuchBucket", "s3://prepared: no such bucket"),
    ],
)
def test_storing_that_ends_midway_is_one_line_and_goes_on_later(
    s3: S3Server, proxy: FaultProxy, manifest: pd.DataFrame, status: int, code: str, line: str
) -> None:
    sent: list[str] = []

    def after_the_first(request: str) -> tuple[int, str] | None:
        sent.extend([request] if request.startswith("PUT") else [])
        return (status, code) if len(sent) > 1 else None

    proxy.refuse = after_the_first
    with pytest.raises(FlowModelsError, match=line):
        store(manifest)
    assert not Path("stored").exists()
    (there,) = s3.client.list_objects_v2(Bucket="prepared")["Contents"]
    proxy.refuse = lambda _: None
    index = store(manifest)
    after = s3.client.list_objects_v2(Bucket="prepared")["Contents"]
    assert there in after  # as it was stored then
    assert len(after) == sum(len(split.files) for split in index.splits.values())


def test_a_store_whose_etags_are_no_checksums_is_believed_the_second_time(proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.etag = "0" * 32
    content = open_source("s3://images").read("train/cat/003.png").data
    assert content == (tmp_path / "data/train/cat/003.png").read_bytes()
    assert proxy.requests == 2


def test_one_flipped_bit_in_an_image_in_parts_reaches_neither_manifest_nor_shards(
    s3: S3Server, proxy: FaultProxy, tmp_path: Path
) -> None:
    clean = described(tmp_path / "clean")
    expected = shard(tmp_path / "clean")
    key = "train/cat/003.png"
    s3.upload_in_parts("images", key, (tmp_path / "data" / key).read_bytes())
    for spoilt, made in [(described, clean), (shard, expected)]:
        proxy.once = {f"GET .*{key}": "flip"}
        assert spoilt(tmp_path / "spoilt") == made
        assert not proxy.once


def test_one_flipped_bit_in_a_stored_shard_is_not_taken_for_another_content(
    s3: S3Server, proxy: FaultProxy, manifest: pd.DataFrame
) -> None:
    index = store(manifest)
    (file,) = index.splits["val"].files
    key = f"{file.sha256}.tfrecord"
    s3.upload_in_parts("prepared", key, s3.client.get_object(Bucket="prepared", Key=key)["Body"].read())
    proxy.once = {f"GET .*{key}": "flip"}
    assert len(load_split(Path("stored"), "val").keys) == index.splits["val"].count
    assert not proxy.once


def test_an_object_that_is_denied_is_one_row_and_not_the_end(proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.refuse = lambda path: (403, "AccessDenied") if path.endswith("train/cat/003.png") else None
    described(tmp_path)
    errors = read_manifest(tmp_path / "manifest.parquet").set_index("key")["error"].dropna()
    assert errors.to_dict() == {"train/cat/003.png": "cannot be read (access denied)"}
    proxy.refuse = lambda _: None
    assert described(tmp_path).read == 1  # asked for again, and nothing else


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (400, "ExpiredToken", "s3://images: refused with ExpiredToken; check the credentials"),
        (404, "NoSuchBucket", "s3://images: no such bucket"),
    ],
)
def test_what_ends_midway_is_one_line_and_goes_on_later(
    proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, line: str
) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    proxy.refuse = lambda path: (status, code) if "val/cat" in path and "list-type" not in path else None
    with pytest.raises(FlowModelsError, match=line):
        described(tmp_path)
    assert not (tmp_path / "manifest.parquet").exists()
    proxy.refuse = lambda _: None
    assert described(tmp_path).read <= IMAGES - 25
    assert described(tmp_path / "clean").digest == described(tmp_path).digest


def test_a_server_that_fails_for_good_is_unavailable(
    proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    proxy.refuse = lambda path: (500, "InternalError") if "val/cat" in path and "list-type" not in path else None
    with pytest.raises(UnavailableError, match=r"server answers InternalError \(500\); try again"):
        described(tmp_path)


def test_a_killed_run_leaves_nothing_half_and_goes_on(proxy: FaultProxy, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from flow_models.data import manifest, sources\n"
        "manifest.BATCH = 5; folder = Path(sys.argv[1])\n"
        "source = sources.open_source('s3://images', connections=1)\n"
        "manifest.write_manifest(source, folder / 'manifest.parquet', journals=folder / 'journals')\n"
    )
    slow = proxy.next_fault
    proxy.next_fault = lambda request: time.sleep(0.02) or slow(request)  # type: ignore[method-assign]
    run = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("journals/*/parts/0*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert not (tmp_path / "manifest.parquet").exists()
    assert 0 < described(tmp_path).read <= IMAGES - 15
    assert described(tmp_path / "clean").digest == described(tmp_path).digest


def test_shards_of_a_killed_run_are_never_taken_for_whole_ones_and_finished_files_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, manifest = str(write_images(tmp_path / "data")), tmp_path / "manifest.parquet"
    described(tmp_path, local)
    before = shard(tmp_path, local)
    program = (
        "import sys, time; from pathlib import Path; from flow_models.data import manifest, pixels, shards, sources\n"
        "read, decode = manifest.read_manifest(Path(sys.argv[1])), pixels.decode\n"
        "pixels.decode = lambda *of: time.sleep(0.1) or decode(*of)\n"
        f"shards.write_shards(read, sources.open_source(sys.argv[2]), Path(sys.argv[3]), **{OPTIONS | {'seed': 1}})\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program, str(manifest), local, str(tmp_path / "shards")])
    unfinished, deadline = tmp_path / ".shards.unfinished", time.monotonic() + 100
    while not list(unfinished.glob("train-00000.tfrecord.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert not list(unfinished.glob("index.json"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == before

    made, write = [], packing.pack
    monkeypatch.setattr(shards, "pack", lambda how, plans: made.extend(p.name for p in plans) or write(how, plans))
    after = shard(tmp_path, local, seed=1)
    assert "train-00000.tfrecord" in set(after) - set(made)
    assert made
    assert not unfinished.exists()
    assert after == shard(tmp_path / "clean", local, seed=1, manifest=manifest)
    assert shard(tmp_path, local) == before


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Writing more fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_one_line_and_what_was_there_stays(tmp_path: Path) -> None:
    local = str(write_images(tmp_path / "data"))
    described(tmp_path, local)
    before = shard(tmp_path, local)
    for path in (tmp_path / "data/val/cat").iterdir():
        path.unlink()
        break
    with no_file_larger_than(1000), pytest.raises(FlowModelsError, match=r"cannot be written \(File too large\)"):
        described(tmp_path, local)
    manifest = read_manifest(tmp_path / "manifest.parquet")
    assert len(manifest) == IMAGES
    with no_file_larger_than(1000), pytest.raises(FlowModelsError, match=r"shards: cannot be written \(.*; make room"):
        write_shards(manifest[manifest["key"] > "train/cat/003"], open_source(local), tmp_path / "shards", **OPTIONS)
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == before
    assert [list(left.iterdir()) for left in tmp_path.rglob("*.unfinished")] == [[]]
    assert described(tmp_path, local).images == IMAGES - 1
    assert shard(tmp_path, local) != before
