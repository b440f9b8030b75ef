"""A clone whose five stages do next to nothing, and its flows on a real Prefect server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from tests.integration.prefect_server import Prefect

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


def make_clone(folder: Path) -> Path:
    """The flows, prefect.yaml and params.yaml, over stages that are small scripts: NAME.py, to be replaced."""
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


def python(program: str, folder: Path, prefect: Prefect) -> None:
    """Run a program in a clone, with the server and an MLflow of the clone's own; it may fail."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**environment, **prefect.environment},
        capture_output=True,
        timeout=300,
        check=False,
    )


def run_flow(flow: str, folder: Path, prefect: Prefect, client: SyncPrefectClient, parameters: str = "") -> FlowRun:
    """Run a flow of a clone, and return its run."""
    python(f"from flows.{flow} import {flow}; {flow}({parameters})", folder, prefect)
    runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=5)
    return next(run for run in runs if run.name.startswith(f"{flow} "))


def artifacts(client: SyncPrefectClient) -> dict[str, str]:
    """The latest of each key."""
    return {str(each.key): str(each.data) for each in client.read_latest_artifacts()}
