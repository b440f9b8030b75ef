"""Test log-likelihood on points in the plane: this project's flow beside zuko's NSF and nflows' RQ-NSF, in one run.

    python benchmarks/point_sets.py --peers PYTHON      PYTHON: an interpreter with torch, zuko and nflows

Each flow gets the same points to train on, parameters within 5 %, one thread, the same seconds of its process's own
time (so what else the machine does counts little; compilation is not counted), Adam with warm-up and cosine decay,
and the best of a few learning rates and numbers of layers by shorter runs on points of their own. The test points are
fresh, and the same for all: differences between flows are paired.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.simulators.point_sets import POINT_SETS, PointSet
from flow_models.training.schedule import learning_rate
from flow_models.training.step import Stepper

PEERS = Path(__file__).parent / "peers/point_sets.py"
LIBRARIES = ("zuko", "nflows")
LAYERS = {"ours": [6], "zuko": [3, 6], "nflows": [6]}  # a transform of zuko's changes both coordinates
RATES = [1e-3, 3e-3, 1e-2]
TRAIN, TRIAL, TEST = 500_000, 20_000, 50_000
CHUNK = 10_000
Case = dict[str, Any]


def ours(case: Case) -> dict[str, Any]:
    """Train this project's flow with the step of its training loop."""
    data = np.load(case["data"])
    model = build(case)
    settings = TrainSettings(learning_rate=case["rate"], clip_norm=case["clip_norm"], averaging=case["averaging"])
    stepper = Stepper(model, settings, seed=case["seed"])
    points = tf.constant(data["train"])
    stepper.initialise(points[: case["batch"]])
    for _ in range(5):
        # Traced before the clock starts; a rate of zero leaves the weights alone.
        stepper.step(points[: case["batch"]], tf.constant(0), tf.constant(0.0))
    rng, steps, start = np.random.default_rng(case["seed"]), 0, time.process_time()
    while (fraction := (time.process_time() - start) / case["seconds"]) < 1:
        batch = tf.gather(points, rng.integers(TRAIN, size=case["batch"]))
        rate = learning_rate(settings, step=steps, fraction=fraction)
        stepper.step(batch, tf.constant(steps), tf.constant(rate))[0].numpy()
        steps += 1
    stepper.use(stepper.average)
    test = data[case["test"]]
    parts = [model.log_prob(test[at : at + CHUNK]).numpy() for at in range(0, len(test), CHUNK)]
    return {"steps": steps, "parameters": parameters(model), "log_prob": np.concatenate(parts)}


def build(case: Case) -> FlowModel:
    """The spline coupling flow of a case."""
    return FlowModel("spline_coupling", {"features": 2, **{key: case[key] for key in ("layers", "hidden", "bins")}})


def parameters(model: FlowModel) -> int:
    """How many numbers are trained."""
    return sum(int(np.prod(each.shape)) for each in model.trainable_variables)


def theirs(python: str, case: Case) -> dict[str, Any]:
    """Train another library's flow under its own interpreter."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with TemporaryDirectory() as folder:
        output = Path(folder) / "log_prob.npy"
        done = subprocess.run(  # noqa: S603 - the interpreter that the user named
            [python, "-W", "ignore", str(PEERS)],
            input=json.dumps({**case, "output": str(output)}),
            env={**environment, "TORCH_LOGS": "-all"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return {**json.loads(done.stdout.splitlines()[-1]), "log_prob": np.load(output)}


def run(library: str, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """One training of one library."""
    return ours(case) if library == "ours" else theirs(options.peers, {**case, "library": library})


def best_case(library: str, case: Case, options: argparse.Namespace) -> Case:
    """The case with the learning rate and the layers that do best on trial points after shorter runs."""
    trials = [
        {**case, "seconds": options.trial_seconds, "test": "trial", "rate": rate, "layers": layers}
        for rate, layers in product(RATES, LAYERS[library])
    ]
    chosen = max(trials, key=lambda each: run(library, each, options)["log_prob"].mean())
    return {**case, "rate": chosen["rate"], "layers": chosen["layers"]}


def faster_mode(library: str, case: Case, options: argparse.Namespace) -> bool:
    """Whether the library takes more steps when it is compiled."""
    steps = {}
    for compiled in (False, True):
        try:
            steps[compiled] = run(library, {**case, "seconds": 3.0, "compiled": compiled}, options)["steps"]
        except subprocess.CalledProcessError:  # a library that cannot be compiled stays as it is
            steps[compiled] = 0
    print(f"{library}: {steps[False] / 3:.0f} steps/s eager, {steps[True] / 3:.0f} compiled", file=sys.stderr)
    return steps[True] > steps[False]


def compare(points: PointSet, case: Case, modes: dict[str, bool], options: argparse.Namespace) -> None:
    """Print one line a library."""
    rng = np.random.default_rng([options.seed, sum(points.name.encode())])
    drawn = {name: points.draw(n, rng) for name, n in (("train", TRAIN), ("trial", TRIAL), ("test", TEST))}
    np.savez(case["data"], **{name: values.astype(np.float32) for name, values in drawn.items()})
    truth = points.log_prob(drawn["test"]) if points.log_prob else None
    reference = None
    for library in ("ours", *modes):
        chosen = best_case(library, {**case, "compiled": modes.get(library, False)}, options)
        result = run(library, chosen, options)
        log_prob = result["log_prob"].astype(np.float64)
        reference = log_prob if reference is None else reference
        columns = [_with_error(log_prob), _with_error(truth - log_prob) if truth is not None else "unknown"]
        columns.append(_with_error(reference - log_prob) if library != "ours" else "")
        made = f"{result['parameters']:>7}{result['steps']:>7}{chosen['rate']:>8.0e}{chosen['layers']:>7}"
        print(f"{points.name:<16}{library:<8}{made}" + "".join(f"{each:>20}" for each in columns), flush=True)


def _with_error(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std() / np.sqrt(len(values)):.4f}"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with the other libraries; none: only ours")
    parser.add_argument("--sets", nargs="+", choices=sorted(POINT_SETS), default=list(POINT_SETS))
    parser.add_argument("--hidden", type=int, nargs=2, default=[64, 64], help="of ours; the others get as many weights")
    parser.add_argument("--bins", type=int, default=8)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--averaging", type=float, default=0.99)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training")
    parser.add_argument("--trial-seconds", type=float, default=8.0, help="of each trial of a learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Print a table."""
    options = parse()
    with TemporaryDirectory() as folder:
        case = {key: getattr(options, key) for key in ("hidden", "bins", "batch", "averaging", "seconds", "seed")}
        case |= {"data": str(Path(folder) / "points.npz"), "test": "test", "clip_norm": 50.0}
        case |= {"parameters": parameters(build({**case, "layers": LAYERS["ours"][0]}))}
        settings = {key: case[key] for key in ("hidden", "bins", "batch", "averaging", "seconds", "parameters")}
        print(f"{settings}; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        modes = {}
        if options.peers:
            first = {"train": POINT_SETS["rings"].draw(TRAIN, np.random.default_rng(0)).astype(np.float32)}
            np.savez(case["data"], train=first["train"], test=first["train"][:TRIAL])
            trial = {**case, "rate": RATES[0], "layers": 6}
            modes = {library: faster_mode(library, trial, options) for library in LIBRARIES}
        print(
            f"{'set':<16}{'library':<8}{'weights':>7}{'steps':>7}{'rate':>8}{'layers':>7}"
            f"{'log-likelihood':>20}{'gap to entropy':>20}{'ours above by':>20}"
        )
        for name in options.sets:
            compare(POINT_SETS[name], case, modes, options)


if __name__ == "__main__":
    main()
