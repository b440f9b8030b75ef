"""What the flows' tasks have in common: when another attempt may help, and how long until then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import get_run_logger, runtime, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flow_models.errors import UnavailableError
from flows.stage import PROJECT, StageError, ask, run_stage

# S3 or MLflow may be away for a moment; a training that failed fails again.
RETRIES = {"validate": 3, "prepare": 3, "register": 3, "register-vectors": 3}
DELAYS = [10.0, 30.0, 90.0]  # seconds before each further attempt
MOST_ATTEMPTS = 5  # of a run whose worker is lost
COMMAND_SECONDS = 4 * 3600.0


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Bad input does not get better by trying again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, UnavailableError) or (isinstance(error, StageError) and error.worth_retrying)


@task(name="stage", task_run_name="{stage}", retry_condition_fn=worth_retrying)
def run(stage: str, *, force: bool) -> None:
    """Run one stage of dvc.yaml; what it prints is the task's log."""
    run_stage(stage, project=PROJECT, force=force, log=get_run_logger().info)


@task(
    name="command",
    task_run_name="{name}",
    retries=3,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=worth_retrying,
    timeout_seconds=COMMAND_SECONDS,
)
def command(name: str, *arguments: str) -> dict[str, Any]:  # noqa: ARG001 - the name is the task run's
    """Run a command of ``flow-models``; what it prints beside its result is the task's log."""
    return ask(*arguments, project=PROJECT, log=get_run_logger().info)


def refuse_endless_attempts() -> None:
    """Fail a run that takes its worker with it each time; automations.yaml would schedule it for ever.

    Raises:
        StageError: after ``MOST_ATTEMPTS``.
    """
    attempts = int(runtime.flow_run.run_count)
    if attempts > MOST_ATTEMPTS:
        raise StageError(
            f"its worker was lost {attempts - 1} times; look whether it takes more memory than there is",
            worth_retrying=False,
        )


def stamped(flow: str) -> str:
    """A run's name: the flow, and when it began."""
    return f"{flow} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
