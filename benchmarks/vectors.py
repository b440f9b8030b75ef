"""Training steps a second of coupling flows on vectors: this project and PyTorch's libraries, in one run.

    python -m benchmarks.vectors --peers PYTHON      PYTHON: an interpreter with torch, zuko, nflows and normflows

Every library gets the same couplings, networks, bins and batch, one Adam step on the same mean likelihood, and the
fastest of its modes, eager or compiled where the gradients are right. Each rate is the best of a few stretches, so that
what else the machine does counts as little as possible.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.workers import ask_peer
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.streams import streams, use_streams
from flow_models.training.precision import compute_of_vectors
from flow_models.training.step import Stepper

LIBRARIES = ("zuko", "nflows", "normflows")
FLOWS = ("realnvp", "spline")
ARCHITECTURES = {"realnvp": "realnvp", "spline": "spline_coupling"}
Case = dict[str, Any]


def steps_per_second(case: Case) -> float:
    """Ours: the step of the training loop as the command line does it, with clipped gradient and weight average."""
    options = {key: case[key] for key in ("features", "layers", "hidden")}
    if case["flow"] == "spline":
        options["bins"] = case["bins"]
    settings = TrainSettings()
    compute = compute_of_vectors(settings, steps=10**6)
    stepper = Stepper(
        FlowModel(ARCHITECTURES[case["flow"]], options), settings, seed=0, xla=compute.xla, streams=streams()
    )
    x = tf.constant(np.random.default_rng(0).standard_normal([case["batch"], case["features"]]), tf.float32)
    stepper.initialise(x)
    rate = tf.constant(1e-4)

    def step(index: int) -> None:
        loss, _ = stepper.step(x, tf.constant(index), rate)
        loss.numpy()

    for index in range(5):
        step(index)
    best = 0.0
    for _ in range(case["stretches"]):
        count, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < case["seconds"]:
            step(count)
            count += 1
        best = max(best, count / seconds)
    return best


def peers(python: str, case: Case) -> dict[str, dict[str, Any]]:
    """Each library's faster mode."""
    measured = ask_peer(python, "vectors", {"cases": [case]}, quiet=True)
    return {
        library: max((each for each in measured if each["library"] == library), key=lambda each: each["rate"])
        for library in LIBRARIES
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with the other libraries; none: only ours")
    parser.add_argument("--features", type=int, nargs="+", default=[2, 8, 64])
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=FLOWS)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--bins", type=int, default=8)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a stretch")
    parser.add_argument("--stretches", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Print one line a case."""
    options = parse()
    use_streams()
    shared = {key: getattr(options, key) for key in ("layers", "hidden", "bins", "batch", "seconds", "stretches")}
    print(f"training steps/s; {shared}; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(f"{'flow':<9}{'dims':>5}{'ours':>8}" + "".join(f"{name:>21}" for name in LIBRARIES) + f"{'ratio':>8}")
    for flow in options.flows:
        for features in options.features:
            case = {"flow": flow, "features": features, **shared}
            theirs = peers(options.peers, case) if options.peers else {}
            ours = steps_per_second(case)
            columns = "".join(f"{each['rate']:>11.1f} {each['mode']:<9}" for each in theirs.values())
            ratio = f"{ours / max(each['rate'] for each in theirs.values()):>8.2f}" if theirs else ""
            print(f"{flow:<9}{features:>5}{ours:>8.1f}{columns}{ratio}", flush=True)


if __name__ == "__main__":
    main()
