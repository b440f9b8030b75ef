"""A training by another deployment, on a GPU's machine say: names and digests go there, one line comes back."""

from __future__ import annotations

import time
from typing import Any

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.states import AwaitingRetry, Cancelling

from flows.stage import StageError

POLL_SECONDS = 5.0


def train_elsewhere(deployment: str, asked: dict[str, Any], *, hours: float) -> str:
    """Let another deployment train, wait for its end, and return what its last state says.

    A run that is taken up again after its worker was lost waits for the training that it started before, and starts no
    second one. Whatever ends the waiting ends the training too.

    Args:
        deployment: flow/name.
        asked: its parameters.
        hours: that it may take in all.

    Raises:
        StageError: if that run does not complete, with its own line, or not in time.
    """
    key = f"{runtime.flow_run.root_flow_run_id} {deployment} {asked['data']}"
    started = run_deployment(deployment, parameters=asked, idempotency_key=key, timeout=0)
    assert isinstance(started, FlowRun)  # noqa: S101 - in a flow that is not async it is no coroutine
    with get_client(sync_client=True) as client:
        if started.state is not None and started.state.is_final() and not started.state.is_completed():
            client.set_flow_run_state(started.id, AwaitingRetry(), force=True)  # it ended in an attempt before this one
        there = _ended(client, started, seconds=3600 * hours)
    said = f"{deployment}, run {there.name}"
    if there.state is None or not there.state.is_final():
        raise StageError(f"{said}: no end within {hours:g} h; does its worker run?", worth_retrying=False)
    last = " ".join((there.state.message or there.state.name or "").split())
    if not there.state.is_completed():
        raise StageError(f"{said}: {last}", worth_retrying=False)
    return last


def _ended(client: SyncPrefectClient, run: FlowRun, *, seconds: float) -> FlowRun:
    """The run as it is at its end, or when the time is over, or else cancelled with us."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            found = client.read_flow_run(run.id)
            if found.state is not None and found.state.is_final():
                return found
            time.sleep(POLL_SECONDS)
    except BaseException:
        client.set_flow_run_state(run.id, Cancelling())
        raise
    client.set_flow_run_state(run.id, Cancelling())
    return found
