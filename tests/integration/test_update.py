"""The newest images, and what is different about them, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.s3_server import S3Server
from tests.unit.data.folders import write_images


def run(folder: Path, module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def data(folder: Path, *arguments: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run(folder, "flow_models", "data", *arguments, "--json"))
    return content


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path) -> S3Server:
    """A versioned one, ``images``, with the images of ``tmp_path / "origin"`` under ``faces/``."""
    s3.client.create_bucket(Bucket="images")
    s3.client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    s3.upload(write_images(tmp_path / "origin"), "images", "faces/")
    return s3


def change(s3: S3Server, origin: Path) -> None:
    """Three more cats, one of another content, and a ball less."""
    for number in range(3):
        content = (origin / f"val/dog/00{number}.png").read_bytes()
        s3.client.put_object(Bucket="images", Key=f"faces/train/cat/new{number}.png", Body=content)
    content = (origin / "val/dog/003.png").read_bytes()
    s3.client.put_object(Bucket="images", Key="faces/train/cat/000.png", Body=content)
    s3.client.delete_object(Bucket="images", Key="faces/val/ball/000.png")


EXPECTED = {
    "train/cat": {"added": 3, "removed": 0, "changed": 1},
    "val/ball": {"added": 0, "removed": 1, "changed": 0},
}


def test_a_bucket_is_compared_with_the_last_manifest(bucket: S3Server, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("data: {source: s3://images/faces}\n")
    first = data(tmp_path, "manifest")
    assert first["read"] == 36
    change(bucket, tmp_path / "origin")
    update = data(tmp_path, "update")
    assert update["different"] == EXPECTED
    second = data(tmp_path, "manifest")
    assert second["digest"] == update["digest"] != first["digest"]
    assert second["read"] == 0  # the update has read what was new


def test_what_dvc_imported_is_brought_to_its_newest_version(bucket: S3Server, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "params.yaml").write_text("data: {source: data}\n")
    run(project, "dvc", "init", "--no-scm", "--quiet")
    run(project, "dvc", "config", "core.analytics", "false")
    run(project, "dvc", "import-url", "--quiet", "--version-aware", "s3://images/faces", "data")
    data(project, "manifest")
    change(bucket, tmp_path / "origin")
    update = data(project, "update")
    assert update["imported"] is True
    assert update["different"] == EXPECTED
    assert (project / "data/train/cat/new0.png").exists()
