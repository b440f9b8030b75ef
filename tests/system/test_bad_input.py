"""Bad input ends the chain before training, with one line, and the registered models are as they were."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.s3_server import S3Server
from tests.system.project import Done, Project


@pytest.fixture
def registered(project: Project, tmp_path: Path) -> Project:
    """The reproduced project with its registry."""
    return project.copy(tmp_path / "registered", registry=True)


def refused(project: Project, *command: str) -> Done:
    """Run a command that must fail before anything is trained or registered."""
    registry = (project.folder / "mlflow.db").read_bytes()
    done = project.attempt(*command)
    assert done.code != 0
    assert "Traceback" not in done.text
    assert "epoch 1" not in done.text
    assert (project.folder / "mlflow.db").read_bytes() == registry
    return done


def the_line(done: Done) -> str:
    """The one line in which a stage says what is wrong."""
    (line,) = (line for line in done.text.splitlines() if line.startswith("error: "))
    return line


def truncated_jpeg(project: Project) -> None:
    path = project.folder / "data/train/digit0/photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])


def empty_class(project: Project) -> None:
    one = project.folder / "data/val/jigsaw"
    (project.folder / "data/val/new").mkdir()
    shutil.rmtree(one)  # DVC itself sees files only


def unknown_key(project: Project) -> None:
    project.set({"train": {"epoch": 3}})


def odd_side(project: Project) -> None:
    project.set({"data": {"height": 10}})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated_jpeg, "error: data/train/digit0/photo.jpg: truncated image"),
        (empty_class, "error: data/val/new/: an empty class folder"),
        (unknown_key, "error: params.yaml: train.epoch: unknown key; did you mean epochs?"),
        (odd_side, "error: params.yaml: data.height is 10, which model.levels = 2 cannot halve 2 times"),
    ],
)
def test_one_line_says_what_is_wrong(registered: Project, spoil: Callable[[Project], None], message: str) -> None:
    spoil(registered)
    assert the_line(refused(registered, "dvc", "repro", "register@image_anomaly")).startswith(message)


def test_a_bucket_that_does_not_exist_is_named(registered: Project, s3: S3Server) -> None:
    registered.set({"data": {"source": "s3://nowhere/digits"}})
    # DVC looks at the bucket before it starts a stage, and has its own words.
    assert (
        "dependency 's3://nowhere/digits' does not exist"
        in refused(registered, "dvc", "repro", "register@image_anomaly").text
    )
    assert the_line(refused(registered, "flow-models", "data", "manifest")) == (
        "error: s3://nowhere: no such bucket; correct its name in params.yaml"
    )


def test_credentials_that_a_bucket_refuses_are_the_reason(registered: Project, s3: S3Server) -> None:
    s3.client.create_bucket(Bucket="images")
    s3.trust_nobody()
    registered.set({"data": {"source": "s3://images/digits"}})
    assert "Forbidden" in refused(registered, "dvc", "repro", "register@image_anomaly").text
    assert the_line(refused(registered, "flow-models", "data", "manifest")).startswith(
        "error: s3://images/digits: refused with"
    )
