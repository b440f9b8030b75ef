"""Submitting a training to AWS Batch and following it, against moto, and against a Batch that takes its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from deploy.aws_batch import jobs
from deploy.aws_batch.__main__ import app, main
from deploy.aws_batch.aws import Outputs
from flow_models.errors import FlowModelsError

QUEUE = {"jobQueueName": "trainings", "state": "ENABLED", "status": "VALID"}
GPUS = {"computeEnvironmentName": "gpus", "state": "ENABLED", "status": "VALID"}


class SlowBatch:
    """A Batch in which things take time: each look shows the next state, the last one for good."""

    def __init__(self, *, queues: list[dict[str, Any]] = (), gpus: list[dict[str, Any]] = (), looks: Any = ()) -> None:
        self._queues, self._gpus, self._looks = list(queues), list(gpus), list(looks)
        self.submitted: list[dict[str, Any]] = []

    def describe_job_queues(self, **_: Any) -> dict[str, Any]:
        order = [{"order": 1, "computeEnvironment": "gpus"}]
        return {"jobQueues": [QUEUE | self._next(self._queues) | {"computeEnvironmentOrder": order}]}

    def describe_compute_environments(self, **_: Any) -> dict[str, Any]:
        return {"computeEnvironments": [GPUS | self._next(self._gpus)]}

    def submit_job(self, **request: Any) -> dict[str, str]:
        self.submitted.append(request)
        return {"jobId": "job"}

    def describe_jobs(self, **_: Any) -> dict[str, Any]:
        look = self._next(self._looks)
        return {"jobs": [look() if callable(look) else look]}

    @staticmethod
    def _next(states: list[Any]) -> Any:
        return (states.pop(0) if len(states) > 1 else states[0]) if states else {}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, aws: None) -> Callable[[SlowBatch], SlowBatch]:
    """Puts a slow Batch where boto3's would be; CloudWatch stays moto's."""
    client = boto3.client

    def use(batch: SlowBatch) -> SlowBatch:
        monkeypatch.setattr(jobs.boto3, "client", lambda name: batch if name == "batch" else client(name))
        return batch

    return use


def write_log(stream: str, *lines: str, group: str = jobs.LOG_GROUP) -> None:
    logs = boto3.client("logs")
    for create, request in ((logs.create_log_group, {}), (logs.create_log_stream, {"logStreamName": stream})):
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            create(logGroupName=group, **request)
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_a_submitted_training_runs_with_its_settings_and_ends_with_code_0(stack: Outputs) -> None:
    said: list[str] = []
    job_id = jobs.submit(
        stack, name="cats", application="image_anomaly", changes=["train.epochs=3", "seed=1"], say=said.append, every=0
    )
    (job,) = boto3.client("batch").describe_jobs(jobs=[job_id])["jobs"]
    assert job["jobQueue"] == stack.queue
    assert job["container"]["command"][-6:] == [
        "--application",
        "image_anomaly",
        "--set",
        "train.epochs=3",
        "--set",
        "seed=1",
    ]
    write_log(job["container"]["logStreamName"], "epoch 1", "epoch 2")

    assert jobs.follow(job_id, say=said.append, every=0) == 0

    assert said == ["[SUCCEEDED]", "epoch 1", "epoch 2"]


def test_the_command_ends_with_the_code_of_a_failed_training(stack: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_SIMPLE_BATCH_FAIL_AFTER", "0")
    done = CliRunner().invoke(app, ["submit", "--name", "cats", "--every", "0"])
    assert done.exit_code == 1
    assert "submitted cats" in done.output
    assert "[FAILED]" in done.output


def test_lines_are_passed_on_once_while_the_job_runs_and_over_its_attempts(
    use: Callable[[SlowBatch], SlowBatch],
) -> None:
    options = {"logConfiguration": {"options": {"awslogs-group": "/flow-models/test"}}}

    def running(stream: str, *lines: str, **more: Any) -> Callable[[], dict[str, Any]]:
        def look() -> dict[str, Any]:
            if lines:
                write_log(stream, *lines, group="/flow-models/test")
            return {"status": "RUNNING", "container": {"logStreamName": stream, **options}} | more

        return look

    failed = {"exitCode": 3, "logStreamName": "second", **options}
    use(
        SlowBatch(
            looks=[
                {"status": "RUNNABLE", "container": {}},
                running("late"),  # the stream is named before it is made
                running("first", "epoch 1", "epoch 2"),
                running("first", "epoch 3"),
                running("second", "epoch 1 again"),
                {"status": "FAILED", "statusReason": "Essential container in task exited", "container": failed},
            ]
        )
    )
    said: list[str] = []
    assert jobs.follow("job", say=said.append, every=0) == 3
    assert said == [
        *("[RUNNABLE]", "[RUNNING]", "epoch 1", "epoch 2", "epoch 3", "epoch 1 again"),
        *("[FAILED]", "[Essential container in task exited]"),
    ]


def test_what_cloudwatch_shows_after_the_end_is_not_lost(use: Callable[[SlowBatch], SlowBatch]) -> None:
    use(SlowBatch(looks=[{"status": "SUCCEEDED", "container": {"logStreamName": "late"}}]))
    said: list[str] = []
    looks = iter([lambda: None, lambda: write_log("late", "registered version 7"), *[lambda: None] * 9])
    original = jobs._Log.show_new

    def show_new(self: jobs._Log, job: Any, say: Callable[[str], None]) -> bool:
        next(looks)()
        return original(self, job, say)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs._Log, "show_new", show_new)
        assert jobs.follow("job", say=said.append, every=0) == 0
    assert said == ["[SUCCEEDED]", "registered version 7"]


def test_a_training_is_submitted_only_when_its_compute_environment_is_valid(
    stack: Outputs, use: Callable[[SlowBatch], SlowBatch]
) -> None:
    batch = use(
        SlowBatch(
            queues=[{"status": "CREATING"}, {"status": "VALID"}], gpus=[{"status": "CREATING"}, {"status": "VALID"}]
        )
    )
    said: list[str] = []
    jobs.submit(stack, name="cats", say=said.append, every=0)
    assert said == ["waiting: gpus is CREATING"]
    assert len(batch.submitted) == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"status": "INVALID", "statusReason": "CLIENT_ERROR - no such instance profile"}, "no such instance profile"),
        ({"state": "DISABLED"}, "gpus: VALID, DISABLED"),
    ],
)
def test_nothing_is_submitted_to_a_compute_environment_that_will_never_run_it(
    stack: Outputs, use: Callable[[SlowBatch], SlowBatch], state: dict[str, str], reason: str
) -> None:
    batch = use(SlowBatch(gpus=[state]))
    with pytest.raises(FlowModelsError, match=reason):
        jobs.submit(stack, name="cats", say=print, every=0)
    assert batch.submitted == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["follow", "no-such-job"], "job no-such-job: Batch knows none"),
        (["submit", "--stack", "no-such-stack"], "stack no-such-stack: AWS refused: Stack with id no-such-stack"),
    ],
)
def test_what_is_not_there_is_one_line_and_code_2(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    monkeypatch.setattr("sys.argv", ["aws_batch", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert line in error
    assert len(error.splitlines()) == 1


def test_no_region_is_one_line_that_says_what_to_set(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setattr("sys.argv", ["aws_batch", "submit"])
    with pytest.raises(SystemExit):
        main()
    assert "AWS_DEFAULT_REGION" in capsys.readouterr().err
