from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.prefect_server import Prefect
from tests.integration.servers import wait_for
from tests.integration.small_clone import STAGES, make_clone

AWAY_ONCE = """
import pathlib
if not pathlib.Path("tried").exists():
    pathlib.Path("tried").touch()
    raise ConnectionError("s3 is away")
"""
REFUSE = """
import sys
print("error: data/train/x.jpg: truncated; remove it", file=sys.stderr)
sys.exit(2)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "clone")


@pytest.fixture
def client(prefect_worker: Prefect) -> SyncPrefectClient:
    with temporary_settings({PREFECT_API_URL: prefect_worker.environment["PREFECT_API_URL"]}):
        return get_client(sync_client=True)


def deploy(prefect: Prefect, project: Path) -> None:
    deployed = prefect("deploy", "--all", folder=project)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr


def run_training(prefect: Prefect, client: SyncPrefectClient, project: Path) -> FlowRun:
    """Deploy the project, let the worker run its training, and return the finished flow run."""
    deploy(prefect, project)
    prefect("deployment", "run", "training/training", "--watch", "--watch-interval", "1")
    return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def tasks_of(client: SyncPrefectClient, run: FlowRun) -> dict[str, TaskRun]:
    """The task runs by name, in order."""
    tasks = client.read_task_runs(sort=TaskRunSort.EXPECTED_START_TIME_ASC)
    return {task.name: task for task in tasks if task.flow_run_id == run.id}


def test_a_deployed_training_completes_and_leaves_its_artifacts(
    prefect_worker: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    (project / "validate.py").write_text(AWAY_ONCE)
    run = run_training(prefect_worker, client, project)
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert run.name.startswith("training ")

    # The server records task runs after the flow that made them has ended.
    expected = {"validate": 2} | dict.fromkeys([*STAGES[1:], "results"], 1)
    wait_for(lambda: {name: task.run_count for name, task in tasks_of(client, run).items()} == expected)
    assert list(tasks_of(client, run)) == [*STAGES, "results"]
    artifacts = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert json.loads(artifacts["image-anomaly-metrics"].data)[1] == {"metric": "auroc.ball", "value": 0.9}
    assert "tiny version 1** is champion" in artifacts["image-anomaly-report"].data
    assert (project / "dvc.lock").is_file()


def test_a_stage_that_refuses_its_input_fails_the_flow_with_its_line_and_is_not_retried(
    prefect_worker: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    (project / "validate.py").write_text(REFUSE)
    run = run_training(prefect_worker, client, project)
    assert run.state is not None
    assert run.state.is_failed()
    assert run.state.message is not None
    assert run.state.message.endswith("validate: data/train/x.jpg: truncated; remove it")
    assert "\n" not in run.state.message
    wait_for(lambda: {name: task.run_count for name, task in tasks_of(client, run).items()} == {"validate": 1})
