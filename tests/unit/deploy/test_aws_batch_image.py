"""The image's way to ECR, with a program in the place of Docker that writes down what it is told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.aws_batch import image
from deploy.aws_batch.aws import Outputs
from flow_models.errors import FlowModelsError

RECORDER = f"""#!{sys.executable}
import json, os, pathlib, sys
arguments = sys.argv[1:]
said = sys.stdin.read() if "--password-stdin" in arguments else None
call = dict(arguments=arguments, said=said, config=os.environ.get("DOCKER_CONFIG"), cwd=os.getcwd())
with pathlib.Path(__file__).with_name("calls").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
if arguments[0] == os.environ.get("FAILS"):
    sys.exit("Cannot connect to the Docker daemon")
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """A docker in front of every other; returns what it was told so far."""
    docker = tmp_path / "docker"
    docker.write_text(RECORDER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def test_one_command_builds_logs_in_and_pushes_the_moving_tag_and_the_commit(
    stack: Outputs, calls: Callable[[], list[dict[str, Any]]]
) -> None:
    moving, pinned = image.push(stack, tag="gpu", say=print)

    info, build, login, first, second = calls()
    assert info["arguments"] == ["info"]
    assert moving == f"{stack.repository}:gpu"
    assert build["arguments"][:3] == ["build", "--file", "deploy/docker/gpu.Dockerfile"]
    assert build["arguments"][-5:] == ["--tag", moving, "--tag", pinned, "."]
    assert Path(build["cwd"]) == image.PROJECT
    assert [first["arguments"], second["arguments"]] == [["push", moving], ["push", pinned]]
    assert login["arguments"][-1] == stack.repository.split("/")[0]


def test_the_password_stands_on_no_command_line_and_does_not_stay(
    stack: Outputs, calls: Callable[[], list[dict[str, Any]]]
) -> None:
    image.push(stack, tag="gpu", say=print)
    login = calls()[2]
    assert login["said"]
    assert login["said"] not in login["arguments"]
    assert login["config"] is not None
    assert not Path(login["config"]).exists()


def test_without_docker_there_is_one_clear_error(
    stack: Outputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FlowModelsError, match=r"^docker: not on this machine; install Docker"):
        image.push(stack, tag="gpu", say=print)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("info", r"^docker: no engine answers \(Cannot connect to the Docker daemon\)"),
        ("build", r"^docker build: ended with 1"),
        ("push", r"^docker push: ended with 1"),
    ],
)
def test_a_step_that_fails_ends_the_push(
    stack: Outputs,
    calls: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    line: str,
) -> None:
    monkeypatch.setenv("FAILS", step)
    with pytest.raises(FlowModelsError, match=line):
        image.push(stack, tag="gpu", say=print)
    assert calls()[-1]["arguments"][0] == step
