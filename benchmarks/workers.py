"""How one case runs in a process of its own: no case sees what another has allocated, and peers have their Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT = 400


def ask_peer(python: str, peer: str, case: dict, *, quiet: bool = False) -> list[dict]:
    """What ``benchmarks.peers.PEER`` answers to a case, under an interpreter that has its library: a line, a dict.

    It reads the case as JSON from standard input, and answers in lines of JSON on standard output. ``quiet`` is for
    libraries that fill standard error with their progress.
    """
    command = [python, "-W", "ignore", "-m", f"benchmarks.peers.{peer}"]
    environment = {**_environment(), "TORCH_LOGS": "-all"}
    done = subprocess.run(  # noqa: S603 - the interpreter that the user named
        command,
        input=json.dumps(case),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        env=environment,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def run_worker(
    worker: str, *, python: str = sys.executable, timeout: float = TIMEOUT, **options: object
) -> dict | None:
    """What ``benchmarks.WORKER`` reports; None, and a line on standard error, if it fails or takes too long."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [python, "-m", f"benchmarks.{worker}", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=PROJECT, env=_environment(), capture_output=True, timeout=timeout, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{worker} {' '.join(arguments)}: {type(error).__name__}", file=sys.stderr)
        return None
    result: dict = json.loads(done.stdout.splitlines()[-1])
    return result


def _environment() -> dict[str, str]:
    """That of this process, with the project on the path of whatever interpreter."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}"}
