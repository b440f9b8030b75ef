"""The image of the jobs: built here, pushed to the stack's repository."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3

from deploy.aws_batch.aws import Outputs, explained
from flow_models.errors import FlowModelsError

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = Path("deploy/docker/gpu.Dockerfile")


def push(stack: Outputs, *, tag: str, dockerfile: Path = DOCKERFILE, say: Callable[[str], None]) -> list[str]:
    """Build the image and push it twice: as ``tag``, which moves, and as its commit, which stays.

    Args:
        stack: whose repository.
        tag: that the job definition names.
        dockerfile: relative to the project.
        say: gets a line before each step.

    Returns:
        The addresses that were pushed.

    Raises:
        FlowModelsError: if there is no Docker, a step of it fails, or AWS refuses.
    """
    _check_engine()
    commit = _commit()
    images = [f"{stack.repository}:{each}" for each in (tag, commit)]
    say(f"building {images[1]}")
    tags = [part for image in images for part in ("--tag", image)]
    _docker("build", "--file", str(dockerfile), "--build-arg", f"COMMIT={commit}", *tags, ".")
    registry = stack.repository.partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:  # the password of twelve hours does not stay with the user
        environment = {"DOCKER_CONFIG": folder}
        _docker("login", "--username", "AWS", "--password-stdin", registry, password=_password(), add=environment)
        for image in images:
            say(f"pushing {image}")
            _docker("push", image, add=environment)
    return images


def _check_engine() -> None:
    if shutil.which("docker") is None:
        raise FlowModelsError("docker: not on this machine; install Docker, or push from a machine that has it")
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)  # noqa: S607
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines() or ["it said nothing"]
        raise FlowModelsError(f"docker: no engine answers ({said[-1]}); start it, or push from another machine")


def _docker(*arguments: str, password: str | None = None, add: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603
        ["docker", *arguments],  # noqa: S607
        cwd=PROJECT,
        env={**os.environ, **(add or {})},
        input=password,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FlowModelsError(f"docker {arguments[0]}: ended with {done.returncode}; it says above why")


def _password() -> str:
    with explained("the repository's password"):
        (data,) = boto3.client("ecr").get_authorization_token()["authorizationData"]
    return base64.b64decode(data["authorizationToken"]).decode().partition(":")[2]


def _commit() -> str:
    """Of the project as it stands, ``-dirty`` when tracked files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"],  # noqa: S607
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FlowModelsError(f"{PROJECT}: git does not say which commit this is: {done.stderr.strip()}")
    return done.stdout.strip()
