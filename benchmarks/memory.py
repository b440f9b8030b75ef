"""Memory, time and start-up of a training step against depth: this project's Glow, recomputing or not, and normflows.

    python -m benchmarks.memory [--peers PYTHON] [--depths 8 16 32 64] [--batch 64]
    python -m benchmarks.memory --largest

PYTHON is an interpreter that has torch and normflows. Every case is a process of its own, whose peak resident memory
is the kernel's. Activations are that peak less the same model's at batch 1; depth is the number of Glow steps over
all levels. ``--largest`` trains on 256x256x3, batch 1, depth 32.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

from benchmarks.workers import run_worker

MODES = {
    "own_glow": ["bfloat16", "bfloat16-reversible", "float32", "float32-reversible"],
    "peers.normflows_glow": ["float32", "bfloat16"],
}
ENOUGH_GIGABYTES = 8.0


@dataclass(frozen=True)
class Case:
    """A training step at one depth."""

    peak: float
    peak_of_one: float
    seconds: float
    first_seconds: float

    @property
    def activations(self) -> float:
        """Gigabytes that grow with the batch."""
        return self.peak - self.peak_of_one


def main() -> None:
    """Measure everything that was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with torch and normflows; none: only ours")
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--modes", nargs="+", help="of those of all libraries, only these")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--timeout", type=float, default=1200.0, help="seconds for one case")
    parser.add_argument("--largest", action="store_true")
    wanted = parser.parse_args()
    if wanted.largest:
        _largest(wanted)
        return
    print(
        f"{wanted.size}x{wanted.size}x3, batch {wanted.batch}, {wanted.levels} levels, {wanted.hidden} channels; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{'':<34}{'depth':>6}{'peak GB':>9}{'batch 1':>9}{'activations':>13}{'growth':>8}{'s/step':>8}{'start s':>9}"
    )
    for worker, modes in MODES.items():
        python = wanted.peers if worker.startswith("peers.") else sys.executable
        for mode in modes if python else []:
            if not wanted.modes or mode in wanted.modes:
                _print_depths(worker, mode, python, wanted)


def _print_depths(worker: str, mode: str, python: str, wanted: argparse.Namespace) -> None:
    """One line a depth; growth is that of the activations since the first."""
    first: float | None = None
    for depth in wanted.depths:
        case = _measure(worker, mode, python, depth, wanted)
        if case is None:
            continue
        first = case.activations if first is None else first
        name = f"{worker.removeprefix('peers.')} {mode}"
        print(
            f"{name:<34}{depth:>6}{case.peak:>9.2f}{case.peak_of_one:>9.2f}{case.activations:>13.2f}"
            f"{case.activations / first:>7.2f}x{case.seconds:>8.2f}{case.first_seconds - case.seconds:>9.1f}",
            flush=True,
        )


def _measure(worker: str, mode: str, python: str, depth: int, wanted: argparse.Namespace) -> Case | None:
    def run(batch: int) -> dict[str, float] | None:
        return run_worker(
            worker,
            python=python,
            timeout=wanted.timeout,
            task="train",
            mode=mode,
            batch=batch,
            size=wanted.size,
            levels=wanted.levels,
            steps=depth // wanted.levels,
            hidden=wanted.hidden,
            seconds=0,
        )

    many, one = run(wanted.batch), run(1)
    if many is None or one is None:
        return None
    return Case(many["peak_gigabytes"], one["peak_gigabytes"], wanted.batch / many["best"], many["first_seconds"])


def _largest(wanted: argparse.Namespace) -> None:
    shape = {"size": 256, "levels": 4, "steps": 8, "batch": 1, "hidden": wanted.hidden}
    print("256x256x3, batch 1, depth 32 (4 levels of 8 steps)")
    for mode in ("bfloat16", "bfloat16-reversible"):
        done = run_worker("own_glow", timeout=wanted.timeout, task="train", mode=mode, seconds=0, **shape)
        if done is not None:
            peak = done["peak_gigabytes"]
            verdict = "within" if peak <= ENOUGH_GIGABYTES else "MORE THAN"
            print(f"  {mode:<22}{peak:6.2f} GB, {verdict} {ENOUGH_GIGABYTES:g} GB; {1 / done['best']:.2f} s a step")


if __name__ == "__main__":
    main()
