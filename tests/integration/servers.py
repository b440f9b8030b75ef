"""Real servers for the tests that need them, each a child process on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from deploy.stack.postgres import find_binaries
from deploy.stack.processes import interruptible
from flow_models.errors import FlowModelsError

START_SECONDS = 180
END_SECONDS = 15


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def skip_without_postgresql() -> None:
    """Skip the test that asks, with the reason, where there is no PostgreSQL."""
    try:
        find_binaries()
    except FlowModelsError as missing:
        pytest.skip(str(missing))


def wait_for(condition: Callable[[], bool], *, within: float = 180) -> None:
    """Until what servers do in their own time has come about; an AssertionError after so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)


@contextmanager
def running(
    command: list[str], *, log: Path, environment: Mapping[str, str] | None = None, health: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block is left, whichever way.

    Args:
        command: to start it.
        log: file for what it prints.
        environment: variables on top of ours.
        health: a URL that answers 200 when the server is ready; None: do not wait.

    Raises:
        RuntimeError: if it ends or is not ready in time, with the last lines of its log.
    """
    with log.open("wb") as output:
        with interruptible():
            server = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        try:
            if health:
                _wait(server, health, log)
            yield server
        finally:
            _end(server)


def _wait(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(requests.RequestException):
            requests.get(health, timeout=2).raise_for_status()
            return
        time.sleep(0.2)
    state = "not ready" if server.poll() is None else f"ended with {server.returncode}"
    raise RuntimeError(f"{health}: {state}\n{log.read_text(errors='replace')[-2000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and the workers that it started: its process group."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, ending)
            server.wait(END_SECONDS)
