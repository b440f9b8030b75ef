"""A stage of dvc.yaml, or a command, as a child process: its output is passed on and its failure is explained."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import runtime

from flow_models.console import FLOW_RUN
from flow_models.settings import CLUSTER_VARIABLE

GRACE_SECONDS = 20  # below the 30 that a Prefect worker gives the flow itself
# How DVC, which looks at a stage's bucket by itself, says that S3 does not answer or cannot at this moment.
AWAY = re.compile(
    r"(connect to|timeout on|valid response from)( the)? endpoint URL"
    r"|\((500|502|503|504|InternalError|ServiceUnavailable|SlowDown)\) when calling"
)
# Exit codes of `flow-models`: the input is at fault, or a server is away.
BAD_INPUT, UNAVAILABLE = 2, 75


class StageError(Exception):
    """A stage or a command failed: a message of one line.

    Attributes:
        worth_retrying: whether another attempt may help.
        away: whether it is certain that a server was away, and nothing else is wrong.
    """

    def __init__(self, message: str, *, worth_retrying: bool, away: bool = False) -> None:
        super().__init__(message)
        self.worth_retrying, self.away = worth_retrying, away


def run_stage(
    stage: str,
    *,
    project: Path,
    force: bool,
    hours: float,
    log: Callable[[str], object],
    cluster: str | None = None,
) -> None:
    """Bring one stage up to date with DVC, which skips it when nothing that it depends on has changed.

    Args:
        stage: its name in dvc.yaml.
        project: the folder of dvc.yaml.
        force: run it though nothing has changed.
        hours: after which it is ended.
        log: gets each line that the stage prints, as it is printed.
        cluster: address of the scheduler whose workers the stage uses; None: those that data.cluster names.

    Raises:
        StageError: if the stage fails, with the line in which it says why, or takes longer.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    command += ["--force"] * force
    code, lines = _run(stage, command, project=project, hours=hours, log=log, cluster=cluster)
    if code != 0:
        raise explain(stage, lines)


def ask(
    *arguments: str, project: Path, hours: float, log: Callable[[str], object], cluster: str | None = None
) -> dict[str, Any]:
    """Run ``flow-models ARGUMENTS --json`` and return what it prints.

    Args:
        arguments: the command and its options.
        project: the folder of params.yaml.
        hours: after which it is ended.
        log: gets each other line that it prints.
        cluster: as in :func:`run_stage`.

    Raises:
        StageError: if it fails, with the line in which it says why, or takes longer.
    """
    answer: list[str] = []

    def sort(line: str) -> None:
        (answer.append if _is_answer(line) else log)(line)

    name = " ".join(arguments[: 2 if arguments[0] == "data" else 1])
    command = [sys.executable, "-m", "flow_models", *arguments, "--json"]
    code, lines = _run(name, command, project=project, hours=hours, log=sort, cluster=cluster)
    if code != 0:
        raise _failure(name, lines, code)
    content: dict[str, Any] = json.loads(answer[-1])
    return content


def _is_answer(line: str) -> bool:
    """A result, and no line of a log in JSON."""
    with suppress(ValueError):
        return line.startswith("{") and "logger" not in json.loads(line)
    return False


def explain(stage: str, lines: list[str]) -> StageError:
    """Find the line that says why a stage failed in what it and DVC printed.

    A stage says ``error: what, where, what to do`` on bad input; a bug ends with the exception's
    line; else DVC itself could not run the stage, and says why: worth another attempt if its bucket is away.
    """
    verdict = next((line for line in reversed(lines) if line.startswith("ERROR: ")), "ERROR: it was killed")
    code = re.search(r"exited with (\d+)$", verdict)
    return _failure(stage, lines, int(code[1]) if code else None, verdict=verdict.removeprefix("ERROR: "))


def _failure(name: str, lines: list[str], code: int | None, *, verdict: str = "it was killed") -> StageError:
    """The last line that says why; ``verdict`` where none does. Without a code it is worth a retry if S3 is away."""
    said = [line for line in lines if line.startswith("error: ")]
    printed = [line for line in lines if line.strip() and not line.startswith(("ERROR: ", "Running stage ", "> "))]
    ended = code is not None and code >= 0
    away = code is None and AWAY.search(verdict) is not None
    if said:
        reason = said[-1].removeprefix("error: ")
    elif ended and printed:
        reason = f"{printed[-1].strip()} (exit code {code})"
    else:
        reason = verdict
    away = away or code == UNAVAILABLE
    return StageError(f"{name}: {reason}", worth_retrying=away or (ended and code != BAD_INPUT), away=away)


def _run(
    name: str,
    command: list[str],
    *,
    project: Path,
    hours: float,
    log: Callable[[str], object],
    cluster: str | None,
) -> tuple[int, list[str]]:
    """Run a command to its end, or end it with us or when its time is over; its exit code and every line it printed.

    Raises:
        StageError: if its time was over.
    """
    child = subprocess.Popen(  # noqa: S603
        command,
        cwd=project,
        env=_environment(cluster),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # DVC, its shell and the stage become one group, to be ended together
    )
    lines, late = [], threading.Event()

    def end_late() -> None:
        late.set()
        _signal(child, signal.SIGTERM)
        if not ended.wait(GRACE_SECONDS):
            _signal(child, signal.SIGKILL)

    ended = threading.Event()
    clock = threading.Timer(3600 * hours, end_late)
    clock.start()
    try:
        for line in child.stdout or ():
            lines.append(line.rstrip())
            if lines[-1]:
                log(lines[-1])
        code = child.wait()
    finally:
        ended.set()
        clock.cancel()
        _end(child)
    if late.is_set():
        raise StageError(f"{name}: longer than {hours:g} h", worth_retrying=False)
    return code, lines


def _environment(cluster: str | None) -> dict[str, str]:
    """Ours, with lines passed on when they are printed, and `flow-models` found where this Python is.

    What `flow-models` logs as JSON says of which flow run it is.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    own = {FLOW_RUN: str(runtime.flow_run.id or "")} | ({CLUSTER_VARIABLE: cluster} if cluster else {})
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **own}


def _end(child: subprocess.Popen[str]) -> None:
    """Leave nothing of the child's group behind: ask it to end, give a training time to save, then end it."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        _signal(child, ending)
        with suppress(subprocess.TimeoutExpired):
            # The pipe closes when the last process of the group has gone, not only DVC.
            child.communicate(timeout=GRACE_SECONDS)


def _signal(child: subprocess.Popen[str], which: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, which)
