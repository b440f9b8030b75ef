"""How the benchmarks run one case: in a process of its own, so that no case sees what another has allocated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT = 400


def environment_of_workers() -> dict[str, str]:
    """That of this process, with the project on the path of whatever interpreter."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}"}


def run_worker(
    worker: str, *, python: str = sys.executable, timeout: float = TIMEOUT, **options: object
) -> dict | None:
    """What ``benchmarks.WORKER`` reports; None, and a line on standard error, if it fails or takes too long."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [python, "-m", f"benchmarks.{worker}", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=PROJECT, env=environment_of_workers(), capture_output=True, timeout=timeout, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{worker} {' '.join(arguments)}: {type(error).__name__}", file=sys.stderr)
        return None
    result: dict = json.loads(done.stdout.splitlines()[-1])
    return result
