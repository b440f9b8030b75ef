"""Test log-likelihood on points in the plane: this project's flow beside zuko's NSF and nflows' RQ-NSF, in one run.

    python -m benchmarks.point_sets --peers PYTHON      PYTHON: an interpreter with torch, zuko and nflows

Each flow gets the same points to train on, parameters within 5 %, one thread, the same seconds of its process's own
time (so what else the machine does counts little; compilation is not counted), Adam with warm-up and cosine decay, the
average of the weights, and the best of a few numbers of layers, of bins and learning rates by shorter runs on points of
their own. The test points are fresh, and the same for all: differences between flows are paired.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from bisect import bisect_left
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.workers import ask_peer
from flow_models.estimators.members import TOGETHER
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.simulators.point_sets import POINT_SETS, PointSet
from flow_models.training.schedule import learning_rate
from flow_models.training.step import Stepper

LIBRARIES = ("zuko", "nflows")
# What each chooses from. Of 3 and 6 layers, 3 had the best trials but for one flow on one set.
CHOICE = {"layers": [3, 4], "bins": [8, 16, 32], "rates": [3e-3, 1e-2]}
TRAIN, TRIAL, TEST = 500_000, 20_000, 50_000
CHUNK = 10_000
CLIP_NORM = 50.0
Case = dict[str, Any]


def ours(case: Case) -> dict[str, Any]:
    """Choose sizes and learning rate on trial points, train this project's flow at length, and evaluate it."""
    trials, points = {}, np.load(case["data"])["trial"]
    for layers, bins, rate in product(*CHOICE.values()):
        sizes = of_size(case["parameters"], layers=layers, bins=bins)
        model, _ = train(case, sizes, rate=rate, seconds=case["trial_seconds"])
        trials[layers, bins, rate] = log_prob_of(model, points).mean(), sizes
    (layers, bins, rate), (_, sizes) = max(trials.items(), key=lambda trial: trial[1][0])
    model, steps = train(case, sizes, rate=rate, seconds=case["seconds"])
    made = {"steps": steps, "parameters": parameters(model), "mode": "xla"}
    made |= {"layers": layers, "bins": bins, "rate": rate}
    return {**made, "log_prob": log_prob_of(model, np.load(case["data"])["test"])}


def train(case: Case, sizes: Case, *, rate: float, seconds: float) -> tuple[FlowModel, int]:
    """A flow after some seconds of the training loop's steps, and how many."""
    model, settings = FlowModel("spline_coupling", sizes), TrainSettings(learning_rate=rate, clip_norm=CLIP_NORM)
    stepper = Stepper(model, settings, seed=case["seed"], xla=True, together=TOGETHER)
    points = tf.constant(np.load(case["data"])["train"])
    stepper.initialise(points[: case["batch"]])
    # Traced before the clock starts; a rate of zero leaves the weights alone.
    stepper.steps([points[: case["batch"]]] * TOGETHER, 0, [0.0] * TOGETHER)
    rng, steps, start = np.random.default_rng(case["seed"]), 0, time.process_time()
    while (fraction := (time.process_time() - start) / seconds) < 1:
        batches = [tf.gather(points, rng.integers(len(points), size=case["batch"])) for _ in range(TOGETHER)]
        rates = [learning_rate(settings, step=steps + at, fraction=fraction) for at in range(TOGETHER)]
        stepper.steps(batches, steps, rates)
        steps += TOGETHER
    stepper.use(stepper.average)
    return model, steps


def log_prob_of(model: FlowModel, points: np.ndarray) -> np.ndarray:
    """Log-densities of points ``(n, 2)``, ``(n,)``."""
    return np.concatenate([model.log_prob(points[at : at + CHUNK]).numpy() for at in range(0, len(points), CHUNK)])


def of_size(size: int, *, layers: int, bins: int) -> Case:
    """Sizes of the spline coupling flow of two equal hidden layers with as many parameters, or a few more."""

    def at(width: int) -> Case:
        return {"features": 2, "layers": layers, "hidden": [width, width], "bins": bins}

    return at(
        bisect_left(range(257), size, lo=8, key=lambda width: parameters(FlowModel("spline_coupling", at(width))))
    )


def parameters(model: FlowModel) -> int:
    """How many numbers are trained."""
    return sum(int(np.prod(each.shape)) for each in model.trainable_variables)


def theirs(python: str, case: Case) -> dict[str, Any]:
    """Train another library's flow under its own interpreter."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "log_prob.npy"
        (made,) = ask_peer(python, "point_sets", {**case, "output": str(output)})
        return {**made, "log_prob": np.load(output)}


def compare(points: PointSet, case: Case, options: argparse.Namespace) -> None:
    """Print one line a library."""
    rng = np.random.default_rng([options.seed, sum(points.name.encode())])
    drawn = {name: points.draw(n, rng) for name, n in (("train", TRAIN), ("trial", TRIAL), ("test", TEST))}
    np.savez(case["data"], **{name: values.astype(np.float32) for name, values in drawn.items()})
    truth = points.log_prob(drawn["test"]) if points.log_prob else None
    reference = None
    for library in ("ours", *(LIBRARIES if options.peers else ())):
        result = ours(case) if library == "ours" else theirs(options.peers, {**case, "library": library})
        log_prob = result["log_prob"].astype(np.float64)
        reference = log_prob if reference is None else reference
        columns = [_with_error(log_prob), _with_error(truth - log_prob) if truth is not None else "unknown"]
        columns.append(_with_error(reference - log_prob) if library != "ours" else "")
        made = f"{result['parameters']:>8}{result['steps']:>7}{result['mode']:>10}{result['rate']:>8.0e}"
        made += f"{result['layers']:>7}{result['bins']:>5}"
        print(f"{points.name:<16}{library:<7}{made}" + "".join(f"{each:>20}" for each in columns), flush=True)


def _with_error(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std() / np.sqrt(len(values)):.4f}"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with the other libraries; none: only ours")
    parser.add_argument("--sets", nargs="+", choices=sorted(POINT_SETS), default=list(POINT_SETS))
    parser.add_argument("--parameters", type=int, default=34_000, help="of each flow, or a few more")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training")
    parser.add_argument("--trial-seconds", type=float, default=6.0, help="of each trial of sizes and a learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Print a table."""
    options = parse()
    with TemporaryDirectory() as folder:
        given = {key: getattr(options, key) for key in ("parameters", "batch", "seconds", "trial_seconds", "seed")}
        print(f"{given}; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        case = {**given, "data": str(Path(folder) / "points.npz"), "choice": CHOICE}
        case |= {"mode_seconds": 1.0, "clip_norm": CLIP_NORM}
        print(
            f"{'set':<16}{'library':<7}{'weights':>8}{'steps':>7}{'mode':>10}{'rate':>8}{'layers':>7}{'bins':>5}"
            f"{'log-likelihood':>20}{'gap to entropy':>20}{'ours above by':>20}"
        )
        for name in options.sets:
            compare(POINT_SETS[name], case, options)


if __name__ == "__main__":
    main()
