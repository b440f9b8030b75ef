from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.conftest import Prefect

CLONE = Path(__file__).resolve().parents[2]
STAGES = ("validate", "prepare", "train@image_anomaly", "evaluate@image_anomaly", "register@image_anomaly")
REGISTER = """
import json, pathlib
folder = pathlib.Path("reports/image_anomaly")
folder.mkdir(parents=True, exist_ok=True)
registered = {"name": "tiny", "version": 1, "alias": "champion", "reasons": ["passed: bits_per_dim 3"]}
(folder / "metrics.json").write_text(json.dumps({"bits_per_dim": 3.0, "auroc": {"ball": 0.9}}))
(folder / "registered.json").write_text(json.dumps(registered))
"""


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
TRAIN_LONG = """
import os, pathlib, signal, sys, time
def save(*_):
    pathlib.Path("saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(300)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone whose five stages do next to nothing."""
    folder = tmp_path / "clone"
    shutil.copytree(CLONE / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "params.yaml"):
        shutil.copy(CLONE / name, folder)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    pipeline: dict[str, Any] = {"stages": {}}
    for stage in STAGES:
        name, _, application = stage.partition("@")
        (folder / f"{name}.py").write_text(REGISTER if name == "register" else f"print('this is {name}')\n")
        matrix = {"matrix": {"application": [application]}} if application else {}
        pipeline["stages"][name] = {**matrix, "cmd": f"python {name}.py"}
    (folder / "dvc.yaml").write_text(json.dumps(pipeline))
    return folder


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


def wait_for(condition: Callable[[], bool], *, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_deployed_training_completes_and_leaves_its_artifacts(
    prefect_worker: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    (project / "validate.py").write_text(AWAY_ONCE)
    run = run_training(prefect_worker, client, project)
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert run.name.startswith("training ")

    tasks = tasks_of(client, run)
    assert list(tasks) == [*STAGES, "results"]
    assert [tasks[stage].run_count for stage in STAGES] == [2, 1, 1, 1, 1]
    artifacts = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert json.loads(artifacts["image-anomaly-metrics"].data)[1] == {"metric": "auroc.ball", "value": 0.9}
    assert "tiny version 1** is champion" in artifacts["image-anomaly-report"].data
    assert (project / "dvc.lock").is_file()


def test_a_cancelled_training_ends_its_stage_which_may_save(
    prefect_worker: Prefect, client: SyncPrefectClient, project: Path
) -> None:
    (project / "train.py").write_text(TRAIN_LONG)
    deploy(prefect_worker, project)
    prefect_worker("deployment", "run", "training/training")
    wait_for((project / "pid").exists)
    run = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]

    prefect_worker("flow-run", "cancel", str(run.id))

    wait_for(lambda: not is_running(int((project / "pid").read_text())))
    assert (project / "saved").exists()
    wait_for(lambda: client.read_flow_run(run.id).state_type is StateType.CANCELLED)


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
    assert [(name, task.run_count) for name, task in tasks_of(client, run).items()] == [("validate", 1)]
