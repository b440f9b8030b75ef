from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow_models.applications.base import Evaluation
from flow_models.applications.image_classification import APPLICATION, class_probabilities
from flow_models.errors import FlowModelsError
from flow_models.model import FlowModel
from flow_models.settings import Settings
from tests.unit.applications.conftest import Gauss

pytestmark = pytest.mark.usefixtures("shards")


@pytest.fixture
def images(images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Class b is dark where class a is bright."""
    return {folder: 255 - pictures if folder.endswith("/b") else pictures for folder, pictures in images.items()}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "train": settings.train.model_copy(update={"epochs": 60, "batch_size": 8, "precision": "float32"}),
            "model": settings.model.model_copy(update={"steps": 1, "hidden_channels": 4}),
            "partition": settings.partition.model_copy(update={"class_weight": 50.0}),
        }
    )


@pytest.fixture
def model(settings: Settings, shards: Path) -> FlowModel:
    from flow_models import training

    lesson = APPLICATION.learn(settings)
    training.train(
        lesson.blueprint.build(),
        lesson.data,
        settings.train,
        seed=0,
        folder=settings.model_folder,
        checkpoints=Path("checkpoints"),
    )
    trained = FlowModel.load(settings.model_folder)
    assert lesson.finish is not None
    lesson.finish(trained, settings.model_folder)
    return trained


@pytest.fixture
def evaluation(settings: Settings, model: FlowModel) -> Evaluation:
    return APPLICATION.evaluate(settings, model)


def test_classes_that_differ_are_told_apart_and_others_are_refused(evaluation: Evaluation) -> None:
    assert evaluation.metrics["accuracy"] >= 0.9
    assert evaluation.metrics["label_negative_log_likelihood"] < 0.5
    assert evaluation.metrics["auroc"]["noise"]["likelihood"] > 0.95
    assert {"reliability", "confusion", "class_samples", "roc"} <= set(evaluation.figures)


def test_probabilities_are_those_of_bayes_rule(settings: Settings, model: FlowModel) -> None:
    dark = np.clip(255 - np.repeat(Gauss.center[None], 3, axis=0), 0, 255).astype(np.uint8)
    probabilities = class_probabilities(settings, model, dark)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == model.about["classes"].index("b")).all()


class TestWithOneClass:
    @pytest.fixture
    def images(self, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {folder: pictures for folder, pictures in images.items() if not folder.endswith("/b")}

    def test_there_is_nothing_to_tell_apart(self, settings: Settings) -> None:
        with pytest.raises(FlowModelsError, match="one class only"):
            APPLICATION.learn(settings)
