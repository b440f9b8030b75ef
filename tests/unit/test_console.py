"""What the command line logs, for people and for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from flow_models import console
from flow_models.errors import FlowModelsError

PROGRAM = """
import logging
from flow_models import console
console.set_up(verbose=False)
logger = logging.getLogger("flow_models.training.loop")
logger.info("epoch %d", 1)
"""
IN_A_RUN = """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run() as run:
    print(run.info.run_id)
    logger.warning("epoch 2")
logger.info("registered", extra={"model": "cats", "version": 7})
"""


def logged(program: str, folder: Path, **environment: str) -> tuple[str, list[str]]:
    """What it prints, and the lines that the package logs."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        env={**os.environ, "MLFLOW_LOGGING_LEVEL": "ERROR", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), [line for line in done.stderr.splitlines() if "alembic" not in line]


def test_a_machine_gets_a_json_object_a_line_with_the_ids_of_the_runs_and_the_version(tmp_path: Path) -> None:
    run_id, lines = logged(PROGRAM + IN_A_RUN, tmp_path, FLOW_MODELS_LOG="json", FLOW_MODELS_FLOW_RUN="a-flow-run")
    first, second, third = (json.loads(line) for line in lines)
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {
        "level": "INFO",
        "logger": "flow_models.training.loop",
        "message": "epoch 1",
        "flow_run": "a-flow-run",
    }
    assert (second["level"], second["mlflow_run"]) == ("WARNING", run_id)
    assert (third["model"], third["version"]) == ("cats", 7)


def test_people_get_the_message_alone(tmp_path: Path) -> None:
    assert logged(PROGRAM, tmp_path)[1] == ["epoch 1"]


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(console.LOG, "xml")
    with pytest.raises(FlowModelsError, match="FLOW_MODELS_LOG=xml: is json, or not set"):
        console.set_up(verbose=False)
