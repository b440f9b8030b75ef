"""The retraining on a real Prefect server: real images and drift, stages that do next to nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.prefect_server import Prefect
from tests.integration.servers import wait_for
from tests.integration.small_clone import artifacts, make_clone, python, run_flow
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
tags = {"data.manifest": manifest_digest(read_manifest(MANIFEST)), "gate": "passed", "gate.champion": "1"}
for _ in range(2):
    client.create_model_version("flow-models", source="models", run_id=run.info.run_id, tags=tags)
client.set_registered_model_alias("flow-models", "champion", "1")
"""

TRAIN_LONG = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path("saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
pathlib.Path("pid").touch()
time.sleep(300)
"""
# As when its worker was lost after the child was started.
TWICE = """
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry
from flows.training import training
parameters = {"gpu_deployment": "training/training"}
with get_client(sync_client=True) as client:
    run = client.create_flow_run(training, parameters=parameters)
    for _ in range(2):
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        run_flow(training, flow_run=client.read_flow_run(run.id), parameters=parameters, return_type="state")
"""


def small(folder: Path) -> Path:
    """36 images, which `validate` describes; the other stages are scripts."""
    make_clone(folder)
    write_images(folder / "data")
    (folder / "validate.py").write_text(DESCRIBE)
    return folder


@pytest.fixture(scope="module")
def registered(prefect_server: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a champion of these images."""
    folder = small(tmp_path_factory.mktemp("registered") / "clone")
    python(DESCRIBE + CHAMPION, folder, prefect_server)
    return folder


@pytest.fixture
def client(prefect_server: Prefect) -> SyncPrefectClient:
    with temporary_settings({PREFECT_API_URL: prefect_server.environment["PREFECT_API_URL"]}):
        return get_client(sync_client=True)


def test_without_a_champion_there_is_reason_to_train_and_the_run_says_so(
    prefect_server: Prefect, client: SyncPrefectClient, tmp_path: Path
) -> None:
    run = run_flow("retraining", small(tmp_path / "clone"), prefect_server, client)
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert run.state.message == "trained: there is no champion; tiny: version 1 is champion (models:/tiny/1)"
    assert run.name.endswith(": there is no champion")
    assert "**Trained anew**" in artifacts(client)["image-anomaly-drift"]
    assert "tiny version 1** is champion" in artifacts(client)["image-anomaly-report"]


def test_images_that_are_those_of_the_champion_train_nothing(
    prefect_server: Prefect, client: SyncPrefectClient, registered: Path
) -> None:
    run = run_flow("retraining", registered, prefect_server, client)
    assert run.state is not None
    assert (run.state.name, run.state.is_completed()) == ("NotTrained", True)
    assert str(run.state.message).startswith("no reason to train: 0.0% of the images")
    assert "**Not trained**" in artifacts(client)["image-anomaly-drift"]
    assert "train@image_anomaly" not in (registered / "dvc.lock").read_text()


def test_a_training_elsewhere_gets_digests_and_its_failure_is_one_line(
    prefect_worker: Prefect, client: SyncPrefectClient, registered: Path
) -> None:
    (registered / "train.py").write_text(DIVERGE)
    deployed = prefect_worker("deploy", "--all", folder=registered)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    write_images(registered / "data", {"train/bird": 12, "val/bird": 4})

    run = run_flow("retraining", registered, prefect_worker, client, "gpu_deployment='training/training'")

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
        "data": json.loads((registered / "reports/drift/drift.json").read_text())["data"],
        "hours": 24,
    }
    assert ": 4" in run.name  # 44.4% of the images are new …


def test_a_run_that_is_taken_up_again_waits_for_the_training_that_it_started(
    prefect_worker: Prefect, client: SyncPrefectClient, registered: Path
) -> None:
    (registered / "train.py").write_text("print('this is train')")
    deployed = prefect_worker("deploy", "--all", folder=registered)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr

    python(TWICE, registered, prefect_worker)

    parent = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=2)[1]
    assert parent.state is not None
    assert (parent.run_count, parent.state.message) == (2, "tiny: version 1 is champion (models:/tiny/1)")
    only = FlowRunFilter(parent_flow_run_id={"any_": [parent.id]})
    assert [each.run_count for each in client.read_flow_runs(flow_run_filter=only)] == [1]


def test_a_parent_that_is_cancelled_cancels_the_training_which_may_save(
    prefect_worker: Prefect, client: SyncPrefectClient, tmp_path: Path
) -> None:
    clone = small(tmp_path / "clone")
    (clone / "train.py").write_text(TRAIN_LONG)
    # The worker is that of the pool `local`.
    text = (clone / "prefect.yaml").read_text().replace("name: gpu ", "name: local ")
    (clone / "prefect.yaml").write_text(text)
    prefect_worker("variable", "set", "gpu_folder", str(clone), "--overwrite")
    deployed = prefect_worker("deploy", "--all", folder=clone)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    elsewhere = ("--param", "gpu_deployment=training/training-gpu")
    prefect_worker("deployment", "run", "training/training", *elsewhere)
    wait_for((clone / "pid").exists)
    child, parent = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=2)

    prefect_worker("flow-run", "cancel", str(parent.id))

    wait_for((clone / "saved").exists)
    for run in (parent, child):
        wait_for(lambda run=run: client.read_flow_run(run.id).state_type is StateType.CANCELLED)


def test_a_promotion_says_who_is_champion_and_fails_in_one_line_where_there_is_no_such_version(
    prefect_server: Prefect, client: SyncPrefectClient, registered: Path
) -> None:
    run = run_flow("promotion", registered, prefect_server, client, "version=2")
    assert run.state is not None
    assert run.state.message == "flow-models: version 2 is champion"
    assert "| champion | 2 | passed |" in artifacts(client)["flow-models-champion"]

    run = run_flow("promotion", registered, prefect_server, client, "version=9")
    assert run.state is not None
    assert run.state.is_failed()
    assert "StageError: promote: look up flow-models version 9" in str(run.state.message)
    assert "\n" not in str(run.state.message)
