"""The stack of `make stack`: real PostgreSQL, S3, MLflow and Prefect, started and ended by its own command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
import requests
from mlflow import MlflowClient

from deploy.stack.postgres import Postgres
from deploy.stack.services import NAMES, Ports, Stack
from tests.integration.servers import free_port, skip_without_postgresql

CLONE = Path(__file__).resolve().parents[2]


def command(what: str, home: Path, ports: Ports | None = None) -> subprocess.CompletedProcess[str]:
    options = [f"--{name}-port={port}" for name, port in asdict(ports).items()] if ports else []
    return subprocess.run(
        [sys.executable, "-m", "deploy.stack", what, "--home", str(home), *options],
        cwd=CLONE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CLONE / "src"), str(CLONE)])},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Not pytest's folder, which only its owner may enter: PostgreSQL of a root runs as somebody else."""
    skip_without_postgresql()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[Stack]:
    stack = Stack(home, Ports(postgres=free_port(), s3=free_port(), mlflow=free_port(), prefect=free_port()))
    try:
        started = command("start", home, stack.ports)
        assert started.returncode == 0, started.stderr
        yield stack
    finally:
        stack.stop()


def of_folder(home: Path) -> list[psutil.Process]:
    """The processes that work in the stack's folder."""
    return [
        process
        for process in psutil.process_iter(["cwd", "status"])
        if str(process.info["cwd"] or "").startswith(str(home)) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def test_a_run_stands_in_postgresql_and_its_artifact_in_s3(stack: Stack, tmp_path: Path) -> None:
    client = MlflowClient(stack.environment["MLFLOW_TRACKING_URI"])
    run = client.create_run(client.create_experiment("stack"))
    client.log_metric(run.info.run_id, "bits_per_dim", 3.25)
    (tmp_path / "report.html").write_text("a report")
    client.log_artifact(run.info.run_id, str(tmp_path / "report.html"))

    s3 = boto3.client(
        "s3",
        endpoint_url=stack.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=stack.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stack.environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    (key,) = [item["Key"] for item in s3.list_objects_v2(Bucket="mlflow")["Contents"]]
    assert run.info.run_id in key
    assert s3.get_object(Bucket="mlflow", Key=key)["Body"].read() == b"a report"
    database = Postgres(stack.home, stack.ports.postgres).url("mlflow", driver="postgresql")
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT value FROM metrics WHERE key = 'bits_per_dim'").fetchall() == [(3.25,)]


def test_prefect_keeps_its_state_in_postgresql_and_a_worker_waits_at_its_pool(stack: Stack) -> None:
    api = stack.environment["PREFECT_API_URL"]
    (worker,) = requests.post(f"{api}/work_pools/local/workers/filter", json={}, timeout=10).json()
    assert worker["status"] == "ONLINE"
    database = Postgres(stack.home, stack.ports.postgres).url("prefect", driver="postgresql")
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT name, type FROM work_pool").fetchall() == [("local", "process")]


def test_nothing_listens_beyond_the_loopback_interface(stack: Stack) -> None:
    listening = set()
    for process in of_folder(stack.home):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's and MLflow's own come and go
            open_to = process.net_connections("inet")
            listening |= {each.laddr.ip for each in open_to if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_the_password_is_for_its_owner_and_on_no_command_line(stack: Stack) -> None:
    password = stack.home / "postgres.password"
    assert password.stat().st_mode & 0o077 == 0
    assert not [process for process in of_folder(stack.home) if password.read_text() in " ".join(process.cmdline())]


def test_a_second_start_leaves_it_as_it_is(stack: Stack) -> None:
    before = {name: (stack.home / f"{name}.pid").read_text() for name in NAMES}
    assert command("start", stack.home, stack.ports).returncode == 0
    assert {name: (stack.home / f"{name}.pid").read_text() for name in NAMES} == before


def test_a_start_with_other_ports_is_refused_while_it_runs(stack: Stack) -> None:
    refused = command("start", stack.home, Ports(mlflow=free_port()))
    assert refused.returncode == 2
    assert "runs already, with other ports" in refused.stderr
    assert set(stack.status().values()) == {"running"}


def test_a_taken_port_is_one_line_and_starts_nothing(stack: Stack, tmp_path: Path) -> None:
    refused = command("start", tmp_path, stack.ports)
    assert refused.returncode == 2
    assert f"127.0.0.1:{stack.ports.postgres}" in refused.stderr
    assert "--postgres-port" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_stop_leaves_no_process_and_no_pid_file(stack: Stack) -> None:
    assert of_folder(stack.home)
    pids = {json.loads((stack.home / f"{name}.pid").read_text())["pid"] for name in NAMES}
    ours = [psutil.Process(pid) for pid in pids]
    ours += [child for process in ours for child in process.children(recursive=True)]

    assert command("stop", stack.home).returncode == 0

    assert not [process for process in ours if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not of_folder(stack.home)
    assert not list(stack.home.glob("*.pid"))
    assert command("stop", stack.home).stdout == "nothing was running\n"
