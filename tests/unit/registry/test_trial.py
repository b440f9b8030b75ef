from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from flow_models.data.manifest import read_manifest, write_manifest
from flow_models.data.sources import open_source
from flow_models.errors import UnavailableError
from flow_models.evaluation.frozen import FrozenSet
from flow_models.model import FlowModel
from flow_models.registry.package import log_model
from flow_models.registry.promotion import Version, register_version
from flow_models.registry.tracking import experiment_id
from flow_models.registry.trial import meet
from flow_models.settings import MANIFEST
from tests.unit.data.folders import write_images

NAME = "flow-models"
Register = Callable[..., Version]


@pytest.fixture(scope="module")
def glow() -> FlowModel:
    return FlowModel("glow", {"image_shape": (8, 8, 1), "levels": 1, "steps": 1, "hidden_channels": 4, "seed": 0})


@pytest.fixture
def frozen(images: np.ndarray) -> FrozenSet:
    return FrozenSet(x=images, noise=np.full(images.shape[1:], 0.5, np.float32))


@pytest.fixture
def register(client: MlflowClient, glow: FlowModel, saved_model: Path, tmp_path: Path) -> Register:
    """Registers the flow, packaged with a model that takes such an example."""
    glow.save(tmp_path / "glow")

    def make(example: np.ndarray, *, application: str = "image_anomaly") -> Version:
        run_id = client.create_run(experiment_id(client, "image_anomaly")).info.run_id
        client.log_param(run_id, "application", application)
        uri = log_model(run_id, saved_model=saved_model, flow_model=tmp_path / "glow", example=example)
        return register_version(client, NAME, model_uri=uri, run_id=run_id, tags={})

    return make


def test_the_champion_is_fetched_and_scored_on_the_challengers_examples(
    client: MlflowClient, register: Register, frozen: FrozenSet, glow: FlowModel, images: np.ndarray, tmp_path: Path
) -> None:
    champion, challenger = register(images), register(images)
    found = meet(client, NAME, champion, challenger=challenger, frozen=frozen)
    np.testing.assert_allclose(found.losses, frozen.losses(glow), rtol=1e-6)
    assert (found.version, found.why_not, found.other_inputs) == (1, "", "")

    other = FrozenSet(x=np.zeros((3, 2), np.float32))
    assert "these examples are (2,)" in meet(client, NAME, champion, challenger=challenger, frozen=other).why_not

    shutil.rmtree(tmp_path / "mlartifacts")
    found = meet(client, NAME, champion, challenger=challenger, frozen=frozen)
    assert found.losses is None
    assert "models:/flow-models/1" in found.why_not
    assert "\n" not in found.why_not


def test_images_that_moved_from_the_champions_training_to_val_are_known_by_their_content(
    client: MlflowClient, project: Path, register: Register, frozen: FrozenSet, images: np.ndarray
) -> None:
    write_images(project / "data", {"train/cat": 12, "val/cat": 5})
    write_manifest(open_source("data"), MANIFEST, journals=project / "journals")
    champion, challenger = register(images), register(images)
    client.log_artifact(champion.run_id, str(MANIFEST), artifact_path="data")
    keys = read_manifest(MANIFEST)["key"].tolist()
    moved = next(key for key in keys if key.startswith("train/"))
    (project / "data" / moved).rename(project / "data/val/cat/moved.png")
    write_manifest(open_source("data"), MANIFEST, journals=project / "journals")
    val = [key for key in keys if key.startswith("val/")]
    frozen = replace(frozen, keys=np.array(["val/cat/moved.png", *val[1:]]))
    found = meet(client, NAME, champion, challenger=challenger, frozen=frozen)
    assert found.learned is not None
    assert found.learned.tolist() == [True, False, False, False, False]


def test_a_champion_with_other_inputs_or_of_another_application_is_told(
    client: MlflowClient, register: Register, frozen: FrozenSet, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = register(images)
    challenger = register(images.astype(np.int32))
    found = meet(client, NAME, champion, challenger=challenger, frozen=frozen)
    assert found.other_inputs.startswith("int32 (-1, 8, 8, 1), task, ")
    assert "the champion, version 1, takes uint8 (-1, 8, 8, 1), task" in found.other_inputs

    other = Version(number=2, run_id="", application="image_classification", tags={}, metrics={})
    found = meet(client, NAME, champion, challenger=other, frozen=frozen)
    assert found.why_not == "it is one of image_anomaly, the challenger of image_classification"

    def away(uri: str) -> Path:
        raise UnavailableError("no answer")

    monkeypatch.setattr("flow_models.registry.trial.resolve", away)
    with pytest.raises(UnavailableError):
        meet(client, NAME, champion, challenger=challenger, frozen=frozen)
