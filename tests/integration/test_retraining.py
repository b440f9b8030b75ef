"""The retraining on a real Prefect server: real images and drift, stages that do next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.conftest import Prefect
from tests.integration.small_clone import make_clone
from tests.unit.data.folders import write_images

DESCRIBE = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "flow_models", "data", "manifest"], check=True)
"""
DIVERGE = """
import sys
print("error: training diverged at step 3; lower train.learning_rate", file=sys.stderr)
sys.exit(2)
"""
CHAMPION = """
import mlflow
from flow_models.data.manifest import manifest_digest, read_manifest
from flow_models.registry import tracking
from flow_models.settings import MANIFEST
client = tracking.connect()
with mlflow.start_run(experiment_id=tracking.experiment_id(client, "image_anomaly")) as run:
    mlflow.log_artifact(str(MANIFEST), artifact_path="data")
client.create_registered_model("flow-models")
tags = {"data.manifest": manifest_digest(read_manifest(MANIFEST))}
client.create_model_version("flow-models", source="models", run_id=run.info.run_id, tags=tags)
client.set_registered_model_alias("flow-models", "champion", "1")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 images, which `validate` describes; the other stages are scripts."""
    folder = make_clone(tmp_path_factory.mktemp("retraining") / "clone")
    write_images(folder / "data")
    (folder / "validate.py").write_text(DESCRIBE)
    return folder


@pytest.fixture
def client(prefect_server: Prefect) -> SyncPrefectClient:
    with temporary_settings({PREFECT_API_URL: prefect_server.environment["PREFECT_API_URL"]}):
        return get_client(sync_client=True)


def python(program: str, folder: Path, prefect: Prefect) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**environment, **prefect.environment},
        capture_output=True,
        timeout=300,
        check=False,
    )


def retrain(client: SyncPrefectClient, prefect: Prefect, project: Path, parameters: str = "") -> FlowRun:
    python(f"from flows.retraining import retraining; retraining({parameters})", project, prefect)
    runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=5)
    return next(run for run in runs if run.name.startswith("retraining "))


def artifacts(client: SyncPrefectClient) -> dict[str, str]:
    return {str(each.key): str(each.data) for each in client.read_latest_artifacts()}


def test_without_a_champion_there_is_reason_to_train_and_the_run_says_so(
    prefect_server: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    run = retrain(client, prefect_server, project)
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert run.state.message == "trained: there is no champion"
    assert run.name.endswith(": there is no champion")
    assert "**Trained anew**" in artifacts(client)["image-anomaly-drift"]
    assert "tiny version 1** is champion" in artifacts(client)["image-anomaly-report"]


def test_images_that_are_those_of_the_champion_train_nothing(
    prefect_server: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    python(CHAMPION, project, prefect_server)
    (project / "dvc.lock").unlink()  # so that a training would run
    run = retrain(client, prefect_server, project)
    assert run.state is not None
    assert (run.state.name, run.state.is_completed()) == ("NotTrained", True)
    assert str(run.state.message).startswith("no reason to train: 0.0% of the images")
    assert "**Not trained**" in artifacts(client)["image-anomaly-drift"]
    assert "train@image_anomaly" not in (project / "dvc.lock").read_text()


def test_a_training_elsewhere_gets_digests_and_its_failure_is_one_line(
    prefect_worker: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    (project / "train.py").write_text(DIVERGE)
    (project / "dvc.lock").unlink()
    deployed = prefect_worker("deploy", "--all", folder=project)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    write_images(project / "data", {"train/bird": 12, "val/bird": 4})

    run = retrain(client, prefect_worker, project, "gpu_deployment='training/training'")

    assert run.state is not None
    assert run.state.is_failed()
    message = str(run.state.message)
    assert "\n" not in message
    assert message.endswith("train@image_anomaly: training diverged at step 3; lower train.learning_rate")
    assert "training/training, run training " in message
    (there,) = [each for each in client.read_flow_runs() if each.parent_task_run_id and each.deployment_id]
    assert there.parameters == {
        "application": "image_anomaly",
        "force": False,
        "data": json.loads((project / "reports/drift/drift.json").read_text())["data"],
        "hours": 24,
    }
    assert ": 4" in run.name  # 44.4% of the images are new …
