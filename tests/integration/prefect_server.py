"""A Prefect server and a worker, for all tests of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import free_port, running


class Prefect:
    """A Prefect server, and its command line on it."""

    def __init__(self, address: str, home: Path) -> None:
        self.environment = {
            "PREFECT_API_URL": f"{address}/api",
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            # What happened is read soon after it happened, not up to five seconds later; less than one is a busy loop.
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            "DO_NOT_TRACK": "1",
        }

    def __call__(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``prefect ARGUMENTS`` in a folder."""
        return subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    prefect = Prefect(f"http://127.0.0.1:{port}", home)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    health = f"http://127.0.0.1:{port}/api/health"
    with running(command, log=home / "log", environment=prefect.environment, health=health):
        yield prefect


@pytest.fixture(scope="session")
def prefect_worker(prefect_server: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """The server with the pools of prefect.yaml and a worker of ``local``, started in a folder of its own."""
    for pool in ("local", "gpu"):
        made = prefect_server("work-pool", "create", pool, "--type", "process", "--overwrite")
        assert made.returncode == 0, made.stderr
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "local"]
    log = tmp_path_factory.mktemp("worker") / "log"
    with running(command, log=log, environment=prefect_server.environment):
        yield prefect_server
