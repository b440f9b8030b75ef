"""One stage of dvc.yaml as a child process whose output is passed on and whose failure is explained."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 20  # below the 30 that a Prefect worker gives the flow itself
OF_IMAGES = ("image_anomaly", "image_classification")
BAD_INPUT = 2  # the exit code of `flow-models` when the input, not the program or the network, is at fault


class StageError(Exception):
    """A stage failed. The message is one line; ``worth_retrying`` says whether another attempt may help."""

    def __init__(self, message: str, *, worth_retrying: bool) -> None:
        super().__init__(message)
        self.worth_retrying = worth_retrying


def stages_of(application: str) -> list[str]:
    """The stages of dvc.yaml that an application goes through, in order."""
    if application in OF_IMAGES:
        return ["validate", "prepare", *(f"{stage}@{application}" for stage in ("train", "evaluate", "register"))]
    stages = ("simulate", "train-vectors", "evaluate-vectors", "register-vectors")
    return [f"{stage}@{application}" for stage in stages]


def run_stage(stage: str, *, project: Path, force: bool, log: Callable[[str], object]) -> None:
    """Bring one stage up to date with DVC, which skips it when nothing that it depends on has changed.

    Args:
        stage: its name in dvc.yaml.
        project: the folder of dvc.yaml.
        force: run it though nothing has changed.
        log: gets each line that the stage prints, as it is printed.

    Raises:
        StageError: if the stage fails, with the line in which it says why.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    child = subprocess.Popen(  # noqa: S603
        command + ["--force"] * force,
        cwd=project,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # DVC, its shell and the stage become one group, to be ended together
    )
    lines = []
    try:
        for line in child.stdout or ():
            lines.append(line.rstrip())
            if lines[-1]:
                log(lines[-1])
        code = child.wait()
    finally:
        _end(child)
    if code != 0:
        raise explain(stage, lines)


def explain(stage: str, lines: list[str]) -> StageError:
    """Find the line that says why a stage failed in what it and DVC printed.

    A stage says ``error: what, where, what to do`` on bad input; a bug ends with the exception's
    line; else DVC itself could not run the stage, and says why.
    """
    verdict = next((line for line in reversed(lines) if line.startswith("ERROR: ")), "ERROR: it was killed")
    code = re.search(r"exited with (\d+)$", verdict)
    said = [line for line in lines if line.startswith("error: ")]
    printed = [line for line in lines if line.strip() and not line.startswith(("ERROR: ", "Running stage ", "> "))]
    if said:
        reason = said[-1].removeprefix("error: ")
    elif code and printed:
        reason = f"{printed[-1].strip()} (exit code {code[1]})"
    else:
        reason = verdict.removeprefix("ERROR: ")
    return StageError(f"{stage}: {reason}", worth_retrying=code is not None and int(code[1]) != BAD_INPUT)


def _environment() -> dict[str, str]:
    """Ours, with lines passed on when they are printed, and `flow-models` found where this Python is."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _end(child: subprocess.Popen[str]) -> None:
    """Leave nothing of the child's group behind: ask it to end, give a training time to save, then end it."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(child.pid, ending)
            # The pipe closes when the last process of the group has gone, not only DVC.
            child.communicate(timeout=GRACE_SECONDS)
