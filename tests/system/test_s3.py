"""Images in S3, an experiment with them, and a DVC remote in S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.integration.s3_server import ENVIRONMENT, S3Server
from tests.system.project import Done, Project

SOURCE = "s3://images/some/digits"


@dataclass(frozen=True)
class Experiment:
    """A project whose images moved to S3 unchanged, and which then trained for fewer epochs.

    Attributes:
        project: afterwards.
        server: that holds its images.
        moved: ``dvc repro prepare`` after the move.
        outdated: the stages that the move left to be run.
        run: ``dvc exp run``.
    """

    project: Project
    server: S3Server
    moved: Done
    outdated: set[str]
    run: Done


@pytest.fixture(scope="module")
def server(s3_endpoint: str) -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": s3_endpoint}).items():
            patch.setenv(name, value)
        yield S3Server(s3_endpoint, boto3.client("s3"))


@pytest.fixture(scope="module")
def experiment(project: Project, server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    copy = project.copy(tmp_path_factory.mktemp("s3") / "project")
    server.upload(copy.folder / "data", "images", "some/digits/")
    copy.set({"data": {"source": SOURCE}})
    moved = copy.run("dvc", "repro", "prepare")
    outdated = copy.outdated()
    copy.set({"register": {"gate": {"bits_per_dim": {"max": 0.1}}}})
    copy.commit("the images are in S3, and the gate is shut")
    return Experiment(
        copy, server, moved, outdated, copy.run("dvc", "exp", "run", "-S", "train.epochs=3", "register@image_anomaly")
    )


def test_the_same_images_in_s3_are_read_again_but_not_trained_on_again(
    project: Project, experiment: Experiment
) -> None:
    assert experiment.moved.stages == ["validate", "prepare"]
    assert experiment.outdated == {"register@image_anomaly"}  # which records where the images come from
    assert experiment.project.json("prepared/shards/index.json") == project.json("prepared/shards/index.json")


def test_an_experiment_runs_what_its_setting_touches(experiment: Experiment) -> None:
    assert experiment.run.stages == [f"{each}@image_anomaly" for each in ("train", "evaluate", "register")]


def test_a_version_that_fails_the_gate_stays_challenger(experiment: Experiment) -> None:
    registered = experiment.project.json("reports/image_anomaly/registered.json")
    assert (registered["alias"], registered["passed"]) == ("challenger", False)
    assert any("bits_per_dim" in reason for reason in registered["reasons"])


def test_an_experiment_is_compared_with_the_commit(experiment: Experiment) -> None:
    table = experiment.project.run("dvc", "metrics", "diff").text
    assert "bits_per_dim" in table
    assert "auroc.photograph.likelihood" in table
    for command in ("show", "diff"):
        experiment.project.run("dvc", "plots", command, "--out", f"plots_{command}")
        page = (experiment.project.folder / f"plots_{command}/index.html").read_text()
        assert "holdout_bits_per_dim" in page
        assert "true_positive_rate" in page


def test_an_object_that_changes_is_noticed_and_nothing_else(experiment: Experiment) -> None:
    assert experiment.project.outdated() == set()
    key = "some/digits/train/digit0/another.png"
    experiment.server.client.put_object(Bucket="images", Key=key, Body=b"another")
    assert experiment.project.outdated() == {"validate", "prepare"}
    experiment.server.client.delete_object(Bucket="images", Key=key)
    assert experiment.project.outdated() == set()


def test_a_remote_in_s3_brings_data_and_results_to_another_clone(
    server: S3Server, copy: Project, tmp_path: Path
) -> None:
    server.client.create_bucket(Bucket="storage")
    copy.run("dvc", "remote", "add", "--default", "storage", "s3://storage/flow-models")
    copy.run("dvc", "remote", "modify", "storage", "endpointurl", server.endpoint_url)
    copy.commit("a remote")
    copy.run("dvc", "push")

    other = Project(tmp_path / "other")
    copy.run("git", "clone", "--quiet", ".", str(other.folder))
    other.run("dvc", "pull", "--allow-missing")  # the other applications have not been run
    for top in ("data", "prepared", "models", "reports/image_anomaly"):
        assert contents(other.folder / top) == contents(copy.folder / top)
    assert other.outdated() == set()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
