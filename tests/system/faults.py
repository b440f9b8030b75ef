"""Servers and workers that fail while the pipeline works: ``python -m tests.system.faults`` says what came of it.

Each fault strikes a run of the flows on the servers of ``make stack``, as often as is asked for. Afterwards every run
has ended well, the weights are those of a run that nothing befell, and one version is registered, promoted and whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path

from tests.system.fault_trials import FAULTS, Trials
from tests.system.project import Project
from tests.system.site import started_stack


@contextmanager
def prepared(outage: float) -> Iterator[Trials]:
    """The servers with two workers, a project, and what a run leaves that nothing befell."""
    folder = Path(tempfile.mkdtemp())
    try:
        project = Project.create(folder / "project")
        with started_stack() as stack, Trials.begin(stack, project, outage=outage) as trials:
            yield trials
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Inflict the faults, in turn, and print a line for each trial and a table; 1 if one did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.faults", description=main.__doc__)
    parser.add_argument("--times", type=int, default=10, help="how often each (default %(default)s)")
    parser.add_argument("--outage", type=float, default=60, help="seconds that MLflow and S3 are away (%(default)s)")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="NAME")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended too
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    say = partial(print, flush=True)
    seconds: dict[str, list[float]] = defaultdict(list)
    failures: dict[str, int] = defaultdict(int)
    with prepared(wanted.outage) as trials:
        for number, fault in product(range(wanted.times), wanted.faults):
            began = time.monotonic()
            wrong = trials.inflict(fault, number)
            seconds[fault].append(time.monotonic() - began)
            failures[fault] += bool(wrong)
            say(f"{fault} {number + 1}: {'; '.join(wrong) or 'ended well'}, {seconds[fault][-1]:.0f} s")
    say(f"\nOutages of {wanted.outage:g} s.\n\n| fault | times | ended well | seconds (median) |\n|---|---:|---:|---:|")
    for fault, taken in seconds.items():
        say(f"| {fault} | {len(taken)} | {len(taken) - failures[fault]} | {statistics.median(taken):.0f} |")
    return 1 if any(failures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
