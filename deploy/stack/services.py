"""What the stack is made of: PostgreSQL, an S3 server, MLflow, Prefect and a worker, on the loopback interface."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3
import requests

from deploy.stack import processes
from deploy.stack.postgres import Postgres
from deploy.stack.processes import Service
from flow_models.errors import FlowModelsError

NAMES = ("postgres", "s3", "mlflow", "prefect", "worker")  # in the order in which they need each other
POOL = "local"
BUCKET = "mlflow"
TEMPLATE = Path(__file__).resolve().parents[1] / "work-pools" / "process.json"
# Of a server that keeps nothing and asks nobody who they are.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "stack", "AWS_SECRET_ACCESS_KEY": "stack", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Of 127.0.0.1."""

    postgres: int = 5433
    s3: int = 9000
    mlflow: int = 5000
    prefect: int = 4200


@dataclass(frozen=True)
class Stack:
    """The servers of one folder.

    Attributes:
        home: for data, logs and pid files.
        ports: where they listen.
    """

    home: Path
    ports: Ports

    def start(self) -> None:
        """Start what does not run yet and return when all of it is ready; after a failure nothing is left.

        Raises:
            FlowModelsError: if a port is taken, a program is missing or a server does not get ready.
        """
        self._refuse_other_ports()
        self._refuse_taken_ports()
        self.home.mkdir(parents=True, exist_ok=True)
        self._ports_file.write_text(json.dumps(asdict(self.ports)), encoding="utf-8")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        lines = [f"export {name}={value}\n" for name, value in self.environment.items()]
        (self.home / "environment").write_text("".join(lines), encoding="utf-8")

    def stop(self) -> list[str]:
        """End what runs, the last started first.

        Returns:
            The names of those that ran.
        """
        return [name for name in reversed(NAMES) if processes.end(name, self.home)]

    def status(self) -> dict[str, str]:
        """By name, whether each runs."""
        return {name: "running" if processes.running(name, self.home) else "stopped" for name in NAMES}

    @property
    def environment(self) -> Mapping[str, str]:
        """What points the command line, DVC and the flows at this stack."""
        return {
            "MLFLOW_TRACKING_URI": self._address(self.ports.mlflow),
            "PREFECT_API_URL": f"{self._address(self.ports.prefect)}/api",
            "AWS_ENDPOINT_URL": self._address(self.ports.s3),
            **CREDENTIALS,
        }

    def service(self, name: str) -> Service:
        """One of ``NAMES``, as it is started once those before it run."""
        postgres = Postgres(self.home, self.ports.postgres)
        made: dict[str, Callable[[], Service]] = {
            "postgres": lambda: postgres.service,
            "s3": self._s3,
            "mlflow": lambda: self._mlflow(postgres),
            "prefect": lambda: self._prefect(postgres),
            "worker": self._worker,
        }
        return made[name]()

    def _start(self) -> None:
        postgres = Postgres(self.home, self.ports.postgres)
        postgres.initialise()
        self._bring_up("postgres", "s3")
        postgres.create(["mlflow", "prefect"])
        self._create_bucket()
        self._bring_up("mlflow", "prefect")
        self._create_pool()
        self._bring_up("worker")

    def _bring_up(self, *names: str) -> None:
        services = [self.service(name) for name in names]
        for service in services:
            processes.spawn(service, self.home)
        for service in services:
            processes.wait(service, self.home)

    def _s3(self) -> Service:
        port = self.ports.s3
        return Service(
            name="s3",
            command=[sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            is_ready=lambda: _answers(f"{self._address(port)}/moto-api/"),
        )

    def _mlflow(self, postgres: Postgres) -> Service:
        port = self.ports.mlflow
        hosts = ",".join(f"{host}{suffix}" for host in ("127.0.0.1", "localhost") for suffix in ("", f":{port}"))
        return Service(
            name="mlflow",
            command=[
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--workers", "1", "--artifacts-destination", f"s3://{BUCKET}", "--allowed-hosts", hosts),
            ],
            # Not among the arguments, which every user of the machine may read.
            environment={
                "MLFLOW_BACKEND_STORE_URI": postgres.url("mlflow", driver="postgresql+psycopg"),
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes for what nothing here uses
                "AWS_ENDPOINT_URL": self.environment["AWS_ENDPOINT_URL"],
                **CREDENTIALS,
            },
            is_ready=lambda: _answers(f"{self._address(port)}/health"),
        )

    def _prefect(self, postgres: Postgres) -> Service:
        port = self.ports.prefect
        return Service(
            name="prefect",
            command=[sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            environment={
                **self._prefect_environment,
                "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url("prefect", driver="postgresql+asyncpg"),
            },
            is_ready=lambda: _answers(f"{self._address(port)}/api/health"),
        )

    def _worker(self) -> Service:
        return Service(
            name="worker",
            command=[sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL],
            environment={**self._prefect_environment, "PREFECT_WORKER_QUERY_SECONDS": "2"},  # its 10 are felt by people
            is_ready=self._has_worker,
        )

    def _has_worker(self) -> bool:
        workers = f"{self.environment['PREFECT_API_URL']}/work_pools/{POOL}/workers/filter"
        try:
            answer = requests.post(workers, json={}, timeout=5)
        except requests.RequestException:
            return False
        return answer.ok and any(worker["status"] == "ONLINE" for worker in answer.json())

    def _create_bucket(self) -> None:
        s3 = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket=BUCKET)

    def _create_pool(self) -> None:
        command = ["work-pool", "create", POOL, "--type", "process", "--base-job-template", str(TEMPLATE)]
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "prefect", "--no-prompt", *command, "--overwrite"],
            env={**os.environ, **self._prefect_environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise FlowModelsError(f"Prefect's work pool {POOL}: {done.stderr.strip() or done.stdout.strip()}")

    @property
    def _prefect_environment(self) -> Mapping[str, str]:
        return {
            **self.environment,
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }

    def _refuse_other_ports(self) -> None:
        if "running" in self.status().values():
            ports = json.loads(self._ports_file.read_text(encoding="utf-8"))
            if ports != asdict(self.ports):
                raise FlowModelsError(f"{self.home}: runs already, with other ports {ports}; stop it first")

    def _refuse_taken_ports(self) -> None:
        for name in ("postgres", "s3", "mlflow", "prefect"):
            port = getattr(self.ports, name)
            if not processes.running(name, self.home) and _is_taken(port):
                raise FlowModelsError(
                    f"127.0.0.1:{port}: something else listens where {name} should; give another --{name}-port"
                )

    @property
    def _ports_file(self) -> Path:
        return self.home / "ports.json"

    @staticmethod
    def _address(port: int) -> str:
        return f"http://127.0.0.1:{port}"


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
