"""How the benchmarks time one piece of work, in every library alike. Needs nothing but the standard library."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable


def arguments() -> argparse.Namespace:
    """What every worker of the Glow benchmark is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=["train", "log_prob", "sample"], required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--mode", required=True, help="the library's own way to be fast")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=128)
    return parser.parse_args()


def best_seconds(work: Callable[[], object], *, seconds: float = 1.0) -> float:
    """The shortest of the runs that fit into some seconds: the least disturbed one on a shared machine."""
    return min(_timings(work, seconds))


def report(work: Callable[[], object], *, batch: int, seconds: float, parameters: int) -> None:
    """Run ``work`` for some seconds and print one line of JSON: examples a second, and what it took."""
    start = time.perf_counter()
    work()
    first = time.perf_counter() - start
    timings = _timings(work, seconds)
    print(
        json.dumps(
            {
                "best": batch / min(timings),
                "median": batch / statistics.median(timings),
                "first_seconds": first,
                "parameters": parameters,
                "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
    )


def _timings(work: Callable[[], object], seconds: float) -> list[float]:
    work()
    timings: list[float] = []
    while sum(timings) < seconds or len(timings) < 3:  # noqa: PLR2004
        start = time.perf_counter()
        work()
        timings.append(time.perf_counter() - start)
    return timings
