"""A training as a job of AWS Batch: submitted when its queue can run it, and followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3

from deploy.aws_batch.aws import Outputs, explained
from flow_models.errors import FlowModelsError
from flows.pipeline import stages_of

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import GetLogEventsRequestTypeDef

JOB = ("python", "-m", "deploy.aws_batch.job")
LOG_GROUP = "/aws/batch/job"  # of a job whose definition names none
READY_SECONDS = 300
QUIET_LOOKS = 2  # CloudWatch shows lines some seconds late: a log that was quiet so often has ended


def submit(
    stack: Outputs,
    *,
    name: str,
    application: str | None = None,
    changes: Sequence[str] = (),
    say: Callable[[str], None],
    every: float,
) -> str:
    """Submit a training, once its queue and the compute environments behind it are valid.

    Args:
        stack: where.
        name: of the job.
        application: that is trained; None: the one in the image's params.yaml.
        changes: of params.yaml, each ``section.key=value``.
        say: gets a line about each thing that is waited for.
        every: seconds between two looks.

    Returns:
        The job's id.

    Raises:
        FlowModelsError: if there is no such application, the queue cannot run jobs, or AWS refuses.
    """
    if application:
        stages_of(application)  # refuses what is none, before a machine is paid for
    with explained(f"queue {stack.queue}"):
        batch = boto3.client("batch")
        _wait_until_valid(batch, stack.queue, say=say, every=every)
        which = ("--application", application) if application else ()
        command = [*JOB, *which, *(part for change in changes for part in ("--set", change))]
        job = batch.submit_job(
            jobName=name,
            jobQueue=stack.queue,
            jobDefinition=stack.definition,
            containerOverrides={"command": command},
        )
    return job["jobId"]


def follow(job_id: str, *, say: Callable[[str], None], every: float) -> int:
    """Pass a job's log on until it has ended.

    Args:
        job_id: of ``submit``.
        say: gets each line of the log, and each state.
        every: seconds between two looks.

    Returns:
        The exit code of the job's program; 1 if it never had one.

    Raises:
        FlowModelsError: if there is no such job, or AWS refuses.
    """
    with explained(f"job {job_id}"):
        batch, log = boto3.client("batch"), _Log(boto3.client("logs"))
        status = ""
        while True:
            job = _describe(batch, job_id)
            if job["status"] != status:
                status = job["status"]
                say(f"[{status}]")
            if status in {"SUCCEEDED", "FAILED"}:
                break
            log.show_new(job, say)
            time.sleep(every)
        quiet = 0
        while quiet < QUIET_LOOKS:
            quiet = 0 if log.show_new(job, say) else quiet + 1
            time.sleep(every if quiet else 0)
    if status == "SUCCEEDED":
        return 0
    say(f"[{job.get('statusReason', 'no reason given')}]")
    return job.get("container", {}).get("exitCode", 1) or 1


@dataclass
class _Log:
    """The log of a job, read once from its beginning; every attempt of a job has a stream of its own."""

    logs: CloudWatchLogsClient
    _tokens: dict[str, str] = field(default_factory=dict)

    def show_new(self, job: JobDetailTypeDef, say: Callable[[str], None]) -> bool:
        """Say what has come since the last look, and whether anything has."""
        container = job.get("container", {})
        stream = container.get("logStreamName")
        group = container.get("logConfiguration", {}).get("options", {}).get("awslogs-group", LOG_GROUP)
        came = False
        while stream:
            request: GetLogEventsRequestTypeDef = {
                "logGroupName": group,
                "logStreamName": stream,
                "startFromHead": True,
            }
            token = self._tokens.get(stream)
            if token is not None:
                request["nextToken"] = token
            try:
                page = self.logs.get_log_events(**request)
            except self.logs.exceptions.ResourceNotFoundException:
                return came  # it is made with its first line
            for event in page["events"]:
                say(event["message"])
            came = came or bool(page["events"])
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token:  # CloudWatch's way to say: no more for now
                break
        return came


def _wait_until_valid(batch: BatchClient, queue: str, *, say: Callable[[str], None], every: float) -> None:
    """A queue takes jobs while it or its compute environments are made, or invalid, and never runs them."""
    deadline, said = time.monotonic() + READY_SECONDS, ""
    while waiting := _not_valid(batch, queue):
        if waiting != said:
            said = waiting
            say(f"waiting: {waiting}")
        if time.monotonic() > deadline:
            raise FlowModelsError(f"{waiting}, after {READY_SECONDS} s; look at it in the AWS console")
        time.sleep(every)


def _not_valid(batch: BatchClient, queue: str) -> str:
    """What is not valid yet, and why; empty when all is."""
    queues = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    if not queues:
        raise FlowModelsError(f"queue {queue}: does not exist; deploy the stack again")
    environments = [each["computeEnvironment"] for each in queues[0]["computeEnvironmentOrder"]]
    found = batch.describe_compute_environments(computeEnvironments=environments)["computeEnvironments"]
    parts = [
        *((each["computeEnvironmentName"], each) for each in found),
        (queues[0]["jobQueueName"], queues[0]),
    ]
    for name, part in parts:
        status, reason = part.get("status", "VALID"), part.get("statusReason", "no reason given")
        if status in {"INVALID", "DELETING", "DELETED"} or part["state"] == "DISABLED":
            raise FlowModelsError(f"{name}: {status}, {part['state']}: {reason}; correct the stack and deploy it again")
        if status != "VALID":
            return f"{name} is {status}"
    return ""


def _describe(batch: BatchClient, job_id: str) -> JobDetailTypeDef:
    jobs = batch.describe_jobs(jobs=[job_id])["jobs"]
    if not jobs:
        raise FlowModelsError(f"job {job_id}: Batch knows none; it forgets a job some days after its end")
    return jobs[0]
