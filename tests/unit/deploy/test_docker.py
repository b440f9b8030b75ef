"""The images, which are not built here: what can be known without Docker."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[3]
DOCKERFILES = sorted((PROJECT / "deploy/docker").glob("*.Dockerfile"))

each = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Each as its word and the rest, lines joined, without comments."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def pins(lock: Path) -> dict[str, str]:
    lines = (line.strip() for line in lock.read_text().splitlines() if line.strip())
    requirements = (Requirement(line) for line in lines if not line.startswith("#"))
    return {requirement.name: str(requirement.specifier) for requirement in requirements}


@each
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", dockerfile], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_every_base_is_of_one_version_and_the_last_stage_runs_as_nobody_special(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    bases = [rest for word, rest in steps if word == "FROM"]
    assert len(bases) == 2
    assert all(re.match(r"python:3\.\d+\.\d+-", base) for base in bases)
    assert [rest for word, rest in steps if word == "USER"] == ["1000"]


@each
def test_what_is_copied_is_there_and_not_kept_out_by_dockerignore(dockerfile: Path) -> None:
    kept = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, rest in instructions(dockerfile):
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = [part for part in shlex.split(rest) if not part.startswith("--")]
            for source in sources:
                assert (PROJECT / source).exists()
                assert source == "." or source.split("/")[0] in kept


def test_only_named_things_get_into_an_image() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if line and not line.startswith("#")) == "*"
    assert "deploy/.env" in lines


def test_the_gpu_image_has_the_versions_that_the_tests_had_and_no_linter() -> None:
    everything, gpu = pins(PROJECT / "requirements.lock"), pins(PROJECT / "deploy/docker/gpu.lock")
    assert {name: gpu[name] for name in gpu.keys() & everything.keys()} == {
        name: everything[name] for name in gpu.keys() & everything.keys()
    }
    assert "nvidia-cudnn-cu12" in gpu
    assert not gpu.keys() & {"ruff", "mypy", "pytest", "moto", "kubernetes-validate"}
