"""Some nights of the pipeline on the servers of ``make stack``: ``python -m tests.system.nightly`` tells the story.

New images are trained on and the version is promoted; a poisoned set is stopped at validation; a challenger trained on
noise is stopped at the gate; and whoever asks for the champion meanwhile gets the same one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from deploy.stack.services import Ports, Stack
from flow_models.data.demo import write_demo
from flow_models.data.png import encode_png
from tests.integration.servers import free_port
from tests.system.project import IMAGES, Project

BUCKET, PREFIX = "images", "digits"
MODEL = "flow-models"
# Enough training to tell digits from noise: 7.6 bits/dim with the first images, 7.3 with the new ones, 9.1 after noise.
SETTINGS = {
    "data": {"source": f"s3://{BUCKET}/{PREFIX}"},
    "train": {"epochs": 30, "learning_rate": 0.002, "warmup_steps": 10, "checkpoint_minutes": 1.0},
    "register": {"gate": {"bits_per_dim": {"max": 8.3}}},
}
NEW_IMAGES = 30  # of each class
NIGHT_SECONDS = 900
NEWS = ("event", "emit", "flow-models.new-data", "--resource-id", "flow-models.data")


@contextmanager
def started_stack() -> Iterator[Stack]:
    """The servers in a folder that is removed afterwards."""
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


class Nights:
    """A project whose images are in a bucket, and the deployment that retrains it.

    Args:
        stack: running.
        project: with the images in ``data/``; its ``params.yaml`` is pointed at the bucket.
        say: gets each line of the story.
    """

    def __init__(self, stack: Stack, project: Project, say: Callable[[str], object]) -> None:
        self._environment = {**os.environ, **stack.environment, "PREFECT_HOME": str(stack.home / "prefect")}
        self._project, self._say = project, say
        environment = stack.environment
        self._s3 = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        self._mlflow = MlflowClient(environment["MLFLOW_TRACKING_URI"])
        with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
            self._client = get_client(sync_client=True)
        self._told: set[str] = set()

    def prepare(self) -> None:
        """Move the images to the bucket and make the deployments."""
        self._s3.create_bucket(Bucket=BUCKET)
        data = self._project.folder / "data"
        files = [path for path in sorted(data.rglob("*")) if path.is_file() and path.suffix == ".png"]
        for path in files:
            self.put(path.relative_to(data).as_posix(), path.read_bytes())
        self._project.set(SETTINGS)
        self._prefect("work-pool", "create", "gpu", "--type", "process")
        self._prefect("deploy", "--all")
        self._say(f"{len(files)} images lie in s3://{BUCKET}/{PREFIX}; the deployments are made.")

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

    def night(self, *start: str) -> FlowRun:
        """One retraining, started by a command of Prefect, to its end."""
        began = time.monotonic()
        self._prefect(*start)
        while time.monotonic() - began < NIGHT_SECONDS:
            runs = self._client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=20)
            run = next((each for each in runs if self._is_new(each)), None)
            if run is not None and run.state is not None and run.state.is_final():
                self._told.add(str(run.id))
                self._say(f"  {run.name}")
                self._say(f"  {run.state.name} after {time.monotonic() - began:.0f} s: {run.state.message}")
                return run
            time.sleep(0.5)
        raise TimeoutError(f"no retraining ended within {NIGHT_SECONDS} s")

    def versions(self) -> dict[str, int]:
        """The number of the version at each alias."""
        aliases = self._mlflow.get_registered_model(MODEL).aliases
        return {alias: int(number) for alias, number in aliases.items()}

    def gate(self, version: int) -> tuple[str, list[str]]:
        """What the gate said of a version, and why."""
        tags = self._mlflow.get_model_version(MODEL, str(version)).tags
        return tags["gate"], tags["gate.reasons"].splitlines()

    def tell_versions(self) -> None:
        """Who is champion now, and what the gate said of the newest."""
        versions = self.versions()
        verdict, reasons = self.gate(versions["challenger"])
        self._say(f"  version {versions['challenger']}: gate {verdict}; the champion is version {versions['champion']}")
        for reason in reasons:
            self._say(f"    {reason}")

    @contextmanager
    def champions_seen(self) -> Iterator[set[int]]:
        """The versions that somebody gets who asks for the champion again and again while the block lasts."""
        seen: set[int] = set()
        ended = threading.Event()

        def ask() -> None:
            while not ended.wait(0.2):
                seen.add(int(self._mlflow.get_model_version_by_alias(MODEL, "champion").version))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield seen
        finally:
            ended.set()
            asking.join()

    def _is_new(self, run: FlowRun) -> bool:
        return run.name.startswith("retraining ") and str(run.id) not in self._told

    def _prefect(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=self._project.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def more_digits(project: Project) -> dict[str, bytes]:
    """Digits that the project does not have yet, by key."""
    everything = project.folder / "everything"
    write_demo(everything)
    more = {
        f"{name}/{image.name}": image.read_bytes()
        for name in ("train/digit0", "train/digit1")
        for image in sorted((everything / name).iterdir())[IMAGES[name] :][:NEW_IMAGES]
    }
    shutil.rmtree(everything)
    return more


def noise(number: int) -> bytes:
    """An image of random pixels."""
    return encode_png(np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8))


def blank(number: int) -> bytes:
    """An image of one grey, another for each number."""
    return encode_png(np.full((8, 8), number % 256, np.uint8))


def tell(nights: Nights, project: Project, say: Callable[[str], object]) -> dict[str, Any]:
    """The story; what came of each night, for those who check."""
    by_hand = ("deployment", "run", "retraining/retraining")
    nights.prepare()

    say("\nThe first night. There is no champion yet.")
    first = nights.night(*by_hand)
    nights.tell_versions()

    more = more_digits(project)
    say(f"\n{len(more)} new images land in the bucket, and the news of it.")
    for key, content in more.items():
        nights.put(key, content)
    second = nights.night(*NEWS)
    nights.tell_versions()
    good = nights.versions()

    with nights.champions_seen() as champions:
        training = nights.keys("train")
        poison = [f"train/digit0/blank{number}.png" for number in range(len(training) // 9)]
        say(f"\n{len(poison)} blank images land: {len(poison) / (len(training) + len(poison)):.0%} of train/.")
        for number, key in enumerate(poison):
            nights.put(key, blank(number))
        third = nights.night(*by_hand)
        for key in poison:
            nights.remove(key)

        say(f"\nThey are removed; all {len(training)} images of train/ are overwritten with noise.")
        for number, key in enumerate(training):
            nights.put(key, noise(number))
        fourth = nights.night(*by_hand)
        nights.tell_versions()
    say(f"\nWho asked for the champion during these two nights got version {sorted(champions)}.")
    return {
        "runs": [first, second, third, fourth],
        "good": good,
        "end": nights.versions(),
        "champions": champions,
        "gate": nights.gate(nights.versions()["challenger"]),
    }


def main() -> None:
    """From nothing: a project with the embedded digits, the servers, the nights."""
    folder = Path(tempfile.mkdtemp())
    project = Project.create(folder / "project")
    try:
        with started_stack() as stack:
            tell(Nights(stack, project, print), project, print)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
