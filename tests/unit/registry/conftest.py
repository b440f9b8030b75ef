from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from mlflow import MlflowClient

from flow_models.registry.tracking import DATABASE, connect
from flow_models.settings import Settings

SHAPE = (8, 8, 1)


class Scorer(tf.Module):
    """What FlowModel.save_serving writes, with arithmetic in place of a network."""

    @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], tf.uint8, name="images")])
    def score(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        mean = tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3])
        return {"log_prob": -mean, "bits_per_dim": mean / 64, "typicality": tf.abs(mean - 100)}


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "saved_model"
    module = Scorer()
    tf.saved_model.save(module, str(folder), signatures={"score": module.score})
    return folder


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mlflow.db with its tables, which take MLflow two seconds to make."""
    path = tmp_path_factory.mktemp("store") / DATABASE
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project after its evaluate stage, as the current folder, with MLflow's embedded store."""
    shutil.copy(empty_store, tmp_path / DATABASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = Settings()
    for folder in (settings.model_folder, settings.report_folder / "figures"):
        folder.mkdir(parents=True)
    (settings.model_folder / "model.json").write_text("{}")
    with (settings.model_folder / "history.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["epoch", "step", "train_bits_per_dim", "holdout_bits_per_dim"], [0, 10, 5.0, ""], [1, 20, 4.0, 4.5]]
        )
    metrics = {"bits_per_dim": 4.4, "auroc": {"ball (red)": {"likelihood": 0.9}, "noise": {"likelihood": None}}}
    (settings.report_folder / "metrics.json").write_text(json.dumps(metrics))
    (settings.report_folder / "report.html").write_text("<html></html>")
    (settings.report_folder / "registered.json").write_text("{}")
    (settings.report_folder / "figures" / "samples.png").write_bytes(b"png")
    yield tmp_path
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture
def client(project: Path) -> MlflowClient:
    return connect()
