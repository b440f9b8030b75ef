"""A Dask cluster describes and packs images, and leaves what one process would."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flow_models import data_stages
from flow_models.data import manifest as module
from flow_models.data.cache import Cache
from flow_models.data.cluster import open_workers
from flow_models.data.kept_pixels import KeptPixels
from flow_models.data.manifest import read_manifest, write_manifest
from flow_models.data.s3 import S3Source
from flow_models.data.shards import write_shards
from flow_models.data.sources import open_source
from flow_models.settings import CLUSTER_VARIABLE, load_settings
from flows.cluster import running_cluster
from flows.pipeline import PROJECT
from tests.integration.s3_server import S3Server
from tests.integration.servers import free_port, running
from tests.unit.data.folders import write_images

OPTIONS = {"shape": (8, 8, 1), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}


@pytest.fixture
def scheduler(s3: S3Server, tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, which know the S3 server from their environment."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask = [sys.executable, "-m"]
    scheduling = [*dask, "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard", "--no-show"]
    working = [*dask, "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    for name in ("scheduler", "worker"):
        (tmp_path / name).mkdir()
    with (
        running(scheduling, log=tmp_path / "scheduler/log"),
        running(working, log=tmp_path / "worker/log", environment={"TF_CPP_MIN_LOG_LEVEL": "3"}),
    ):
        yield address


def test_a_cluster_leaves_what_one_process_would(
    scheduler: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    monkeypatch.setattr("flow_models.data.cluster._SECONDS", 120.0)
    s3.upload(write_images(tmp_path / "data"), "images")
    s3.client.put_object(Bucket="images", Key="val/cat/bad.jpg", Body=b"<html>")
    s3.client.create_bucket(Bucket="prepared")
    source, kept = open_source("s3://images"), KeptPixels(Cache(tmp_path / "cache", limit=10**6), OPTIONS["shape"])
    here, there = (tmp_path / f"{name}.parquet" for name in ("here", "there"))
    described = write_manifest(source, here, journals=tmp_path / "journals")
    manifest = read_manifest(here)
    expected = write_shards(manifest, source, tmp_path / "here", **OPTIONS)
    with open_workers(scheduler) as workers:
        assert write_manifest(source, there, journals=tmp_path / "other", kept=kept, workers=workers) == described
        assert there.read_bytes() == here.read_bytes()
        index = write_shards(manifest, source, tmp_path / "there", **OPTIONS, kept=kept, workers=workers)
        stored = write_shards(
            manifest, source, tmp_path / "stored", **OPTIONS, store=S3Source("s3://prepared/shards"), workers=workers
        )
    assert index == expected
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()
    }
    assert stored == replace(expected, location="s3://prepared/shards")
    assert [path.name for path in (tmp_path / "stored").iterdir()] == ["index.json"]


def test_the_cluster_that_a_flow_runs_leaves_what_one_process_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(PROJECT / "params.yaml", application="image_anomaly")
    write_images(tmp_path / "data", {"train/cat": 60, "val/cat": 20})
    monkeypatch.chdir(tmp_path)
    before = data_stages.validate(settings).digest, data_stages.prepare(settings).digest
    shutil.rmtree("prepared")
    shutil.rmtree(".cache")
    with running_cluster("local") as address:
        assert address is not None
        monkeypatch.setenv(CLUSTER_VARIABLE, address)
        for work in ("describe._look", "packing._write"):  # of this process, which does none of it
            monkeypatch.setattr(f"flow_models.data.{work}", None)
        assert (data_stages.validate(settings).digest, data_stages.prepare(settings).digest) == before
