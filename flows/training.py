"""The training flow: the stages of dvc.yaml in order, as Prefect tasks.

Run by a worker from the deployment in prefect.yaml, or by hand: ``python -m flows.training``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flow_models.settings import load_settings
from flows.results import metrics_table, summary
from flows.stage import StageError, run_stage, stages_of

PROJECT = Path(__file__).resolve().parents[1]
# These talk to S3 or to MLflow, which may be away for a moment; a training that failed fails again.
RETRIES = {"validate": 3, "prepare": 3, "register": 3, "register-vectors": 3}
DELAYS = [10.0, 30.0, 90.0]  # seconds before each further attempt


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Bad input does not get better by trying again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageError) and error.worth_retrying


@task(name="stage", task_run_name="{stage}", retry_condition_fn=worth_retrying)
def run(stage: str, *, force: bool) -> None:
    """Run one stage of dvc.yaml; what it prints is the task's log."""
    run_stage(stage, project=PROJECT, force=force, log=get_run_logger().info)


@task(name="results", task_run_name="results")
def show_results(application: str) -> None:
    """Leave the metrics, and what became of the version, as artifacts of the flow run."""
    settings = load_settings(PROJECT / "params.yaml", application=application)
    name, folder = settings.label.replace("_", "-"), PROJECT / settings.report_folder
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    registered = json.loads((folder / "registered.json").read_text(encoding="utf-8"))
    create_table_artifact(
        key=f"{name}-metrics",
        table=metrics_table(metrics),
        description="Measured on data that took no part in training",
    )
    create_markdown_artifact(key=f"{name}-report", markdown=summary(registered, folder / "report.html"))


def _name() -> str:
    return f"training {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


@flow(name="training", flow_run_name=_name)
def training(*, application: str = "image_anomaly", force: bool = False) -> None:
    """Prepare, train, evaluate, register; stages of which nothing changed are skipped.

    Args:
        application: one of those in dvc.yaml.
        force: run every stage, changed or not.
    """
    for stage in stages_of(application):
        retries = RETRIES.get(stage.partition("@")[0], 0)
        run.with_options(retries=retries, retry_delay_seconds=DELAYS)(stage, force=force)
    show_results(application)


if __name__ == "__main__":
    training()
