"""A project at work: its images in a bucket, its deployments in Prefect, its versions in MLflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deploy.stack import processes
from deploy.stack.services import Ports, Stack
from tests.integration.servers import free_port
from tests.system.project import Project

BUCKET, PREFIX = "images", "digits"
MODEL = "flow-models"


@contextmanager
def started_stack() -> Iterator[Stack]:
    """The servers of ``make stack`` in a folder that is removed afterwards."""
    # Not below a folder that only its owner may enter: PostgreSQL of a root runs as somebody else.
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    stack = Stack(home, Ports(postgres=free_port(), s3=free_port(), mlflow=free_port(), prefect=free_port()))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def second_worker(stack: Stack) -> Iterator[None]:
    """Another worker of the same pool, beside that of ``make stack``."""
    worker = replace(stack.service("worker"), name="worker-2")
    processes.spawn(worker, stack.home)
    try:
        processes.wait(worker, stack.home)
        yield
    finally:
        processes.end(worker.name, stack.home)


class Site:
    """A project and the servers that it uses.

    Args:
        stack: running.
        project: with the images in ``data/``, until ``move_images``.

    Attributes:
        stack: the servers.
        project: the clone that the worker runs the flows in.
        environment: for commands that talk to the servers.
        mlflow: a client of MLflow.
        prefect: a client of Prefect.
    """

    def __init__(self, stack: Stack, project: Project) -> None:
        self.stack, self.project = stack, project
        self.environment = {**os.environ, **stack.environment, "PREFECT_HOME": str(stack.home / "prefect")}
        self._s3 = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
        )
        self.mlflow = MlflowClient(self.environment["MLFLOW_TRACKING_URI"])
        with temporary_settings({PREFECT_API_URL: self.environment["PREFECT_API_URL"]}):
            self.prefect = get_client(sync_client=True)

    def move_images(self) -> int:
        """Put the images into the bucket and say so in params.yaml; how many."""
        self._s3.create_bucket(Bucket=BUCKET)
        data = self.project.folder / "data"
        files = [path for path in sorted(data.rglob("*")) if path.is_file() and path.suffix == ".png"]
        for path in files:
            self.put(path.relative_to(data).as_posix(), path.read_bytes())
        self.project.set({"data": {"source": f"s3://{BUCKET}/{PREFIX}"}})
        return len(files)

    def deploy(self) -> None:
        """Make the deployments of prefect.yaml, as docs/operations.md says."""
        self.command("work-pool", "create", "gpu", "--type", "process")
        self.command("deploy", "--all")

    def put(self, key: str, content: bytes) -> None:
        """One image, new or in the place of another."""
        self._s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}", Body=content)

    def remove(self, key: str) -> None:
        """One image."""
        self._s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}")

    def keys(self, split: str) -> list[str]:
        """The images of a split."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/{split}/")
        return [item["Key"].removeprefix(f"{PREFIX}/") for page in pages for item in page["Contents"]]

    def versions(self, model: str = MODEL) -> dict[str, int]:
        """The number of the version at each alias."""
        aliases = self.mlflow.get_registered_model(model).aliases
        return {alias: int(number) for alias, number in aliases.items()}

    def command(self, *arguments: str) -> None:
        """``prefect ARGUMENTS`` in the project, to a good end."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=self.project.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
