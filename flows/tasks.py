"""What the flows' tasks have in common: when another attempt may help, how long until then, and their runs' names."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from prefect import get_run_logger, runtime, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flow_models.errors import UnavailableError
from flow_models.settings import load_settings
from flows.cluster import running_cluster
from flows.pipeline import PROJECT
from flows.stage import StageError, ask, run_stage

READING = ("validate", "prepare")  # the stages that read images
# What computes fails again as it failed, unless a server or another host was away: then it resumes.
COMPUTING = {"train", "train-vectors", "evaluate", "evaluate-vectors", "simulate"}
DELAYS = [10.0, 30.0, 90.0]  # seconds before each further attempt
MOST_ATTEMPTS = 5  # of a run whose worker is lost
COMMAND_HOURS = 4.0


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Bad input does not get better by trying again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, UnavailableError) or (isinstance(error, StageError) and error.worth_retrying)


def was_away(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Nothing but a server, or another host of the training, was at fault."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageError) and error.away


PATIENTLY: dict[str, Any] = {
    "retries": len(DELAYS),
    "retry_delay_seconds": DELAYS,
    "retry_condition_fn": worth_retrying,
}


@task(name="stage", task_run_name="{stage}", **PATIENTLY)
def run(stage: str, *, force: bool, hours: float) -> None:
    """Run one stage of dvc.yaml, on ``data.cluster`` if it reads images; what it prints is the task's log."""
    with _cluster(needed=stage in READING) as cluster:
        run_stage(stage, project=PROJECT, force=force, hours=hours, log=get_run_logger().info, cluster=cluster)


def run_one(stage: str, *, force: bool, hours: float) -> None:
    """Run one stage as a task, and again if that may help.

    Its tag is for a limit over all deployments: ``prefect concurrency-limit create train 1``.
    """
    kind = stage.partition("@")[0]
    again = was_away if kind in COMPUTING else worth_retrying
    run.with_options(retry_condition_fn=again, tags={kind})(stage, force=force, hours=hours)


@task(name="command", task_run_name="{name}", **PATIENTLY)
def command(name: str, *arguments: str) -> dict[str, Any]:  # noqa: ARG001 - the name is the task run's
    """Run a command of ``flow-models``, as :func:`run` does; what it prints beside its result is the task's log."""
    with _cluster(needed=arguments[0] == "data") as cluster:
        return ask(*arguments, project=PROJECT, hours=COMMAND_HOURS, log=get_run_logger().info, cluster=cluster)


def _cluster(*, needed: bool) -> AbstractContextManager[str | None]:
    return running_cluster(load_settings(PROJECT / "params.yaml").data.cluster) if needed else nullcontext()


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


def stamped(flow: str, of: str) -> str:
    """A run's name: the flow, what it is of, by the name of a parameter, and when it began."""
    about = runtime.flow_run.parameters.get(of)
    return " ".join([flow, *([str(about)] if about else []), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"])
