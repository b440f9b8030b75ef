from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from flow_models.errors import FlowModelsError
from flow_models.registry.tracking import connect, experiment_id


def test_the_embedded_store_is_the_projects_and_mlflow_itself_uses_it(client: MlflowClient, project: Path) -> None:
    assert client.tracking_uri == f"sqlite:///{project / 'mlflow.db'}" == mlflow.get_tracking_uri()


def test_an_experiment_is_made_once(client: MlflowClient) -> None:
    assert experiment_id(client, "image_anomaly") == experiment_id(client, "image_anomaly")


def test_a_store_that_was_chosen_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = f"sqlite:///{shutil.copy(project / 'mlflow.db', project / 'other.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", chosen)
    assert connect().tracking_uri == chosen


def test_an_address_that_mlflow_does_not_know_is_one_clear_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://nowhere")
    with pytest.raises(FlowModelsError, match="gopher") as caught:
        connect()
    assert "\n" not in str(caught.value)
