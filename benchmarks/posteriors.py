"""C2ST of amortized posteriors on the open tasks of the simulation-based inference benchmark, beside sbi's NPE.

    pip download --no-deps sbibm -d FOLDER      its reference posteriors; nothing of it is run
    python -m benchmarks.posteriors --references FOLDER [--peers PYTHON]     PYTHON: an interpreter with sbi

Lueckmann et al. 2021, "Benchmarking simulation-based inference": 10,000 posterior samples at each of ten observations
against as many of the reference, the median over the observations. ``FlowPosterior`` has its defaults and the prior's
bounds, the same for every task; sbi's NPE has its own with a neural spline flow, as in the benchmark.
"""

from __future__ import annotations

import argparse
import bz2
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from joblib import Parallel, delayed

import flow_models as fm
from benchmarks.workers import ask_peer
from flow_models.data.parallel import cores
from flow_models.evaluation.two_sample import c2st

SAMPLES = 10_000
OBSERVATIONS = range(1, 11)
BUDGETS = (1_000, 10_000, 100_000)
Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Task:
    """A prior, uniform in a cube, and a simulator; the published medians of NPE with NSF at the three budgets."""

    width: int
    half: float
    simulate: Callable[[Array, np.random.Generator], Array]
    published: tuple[float, float, float]

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        """Uniform parameters, ``(number, width)``."""
        return rng.uniform(-self.half, self.half, (number, self.width))


def two_moons(theta: Array, rng: np.random.Generator) -> Array:
    """A crescent about a point that two parameters give in two ways."""
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, len(theta)), rng.normal(0.1, 0.01, len(theta))
    crescent = np.column_stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)])
    return crescent + np.column_stack([-abs(theta.sum(axis=1)), theta[:, 1] - theta[:, 0]]) / np.sqrt(2)


def gaussian_linear(theta: Array, rng: np.random.Generator) -> Array:
    """The parameters with noise of variance 0.1."""
    return rng.normal(theta, np.sqrt(0.1))


def gaussian_mixture(theta: Array, rng: np.random.Generator) -> Array:
    """The parameters with noise of deviation 1 or 0.1."""
    return theta + rng.normal(size=theta.shape) * rng.choice([1.0, 0.1], (len(theta), 1))


TASKS = {
    "two_moons": Task(width=2, half=1, simulate=two_moons, published=(0.715, 0.608, 0.542)),
    "gaussian_mixture": Task(width=2, half=10, simulate=gaussian_mixture, published=(0.701, 0.602, 0.547)),
    "gaussian_linear_uniform": Task(width=10, half=1, simulate=gaussian_linear, published=(0.682, 0.554, 0.508)),
}


def simulations(name: str, budget: int, seed: int) -> tuple[Array, Array]:
    """Parameters and observations to train on; the same for ours and for sbi's."""
    rng = np.random.default_rng([seed, budget])
    theta = TASKS[name].draw_prior(budget, rng)
    return theta, TASKS[name].simulate(theta, rng)


def reference(folder: Path, task: str, number: int) -> tuple[Array, Array]:
    """An observation ``(m,)`` and 10,000 samples of its true posterior."""
    (wheel,) = folder.glob("sbibm-*.whl")
    within = f"sbibm/tasks/{task}/files/num_observation_{number}"
    with zipfile.ZipFile(wheel) as archive:
        observation = archive.read(f"{within}/observation.csv").decode()
        samples = bz2.decompress(archive.read(f"{within}/reference_posterior_samples.csv.bz2")).decode()
    return np.loadtxt(observation.splitlines()[1:], delimiter=","), np.loadtxt(samples.splitlines()[1:], delimiter=",")


def ours(name: str, theta: Array, x: Array, observations: Array, seed: int) -> tuple[Array, float, float]:
    """Samples at each observation; seconds of training with compilation; seconds of sampling one observation.

    As of sbi's, no import is in them.
    """
    task = TASKS[name]
    posterior = fm.FlowPosterior(support=(-task.half, task.half), random_state=seed)  # imports TensorFlow
    start = time.perf_counter()
    posterior.fit(x, theta)
    trained = time.perf_counter()
    posterior.sample(observations[0], SAMPLES)  # compiles
    compiled = time.perf_counter()
    samples = posterior.sample(observations, SAMPLES)
    return samples, trained - start, (time.perf_counter() - compiled) / len(observations)


def theirs(
    python: str, name: str, theta: Array, x: Array, observations: Array, seed: int
) -> tuple[Array, float, float]:
    """The same of sbi's NPE, under its own interpreter."""
    with TemporaryDirectory() as folder:
        case = {"half": TASKS[name].half, "samples": SAMPLES, "seed": seed, "folder": folder}
        np.savez(Path(folder) / "case.npz", theta=theta, x=x, observations=observations)
        (seconds,) = ask_peer(python, "posteriors", case, quiet=True)
        return np.load(Path(folder) / "samples.npy"), seconds["training"], seconds["sampling"]


def median_c2st(samples: Array, references: list[Array], *, rows: int, seed: int) -> tuple[float, list[float]]:
    """The median over the observations, and each."""
    pairs = zip(references, samples, strict=True)
    each = Parallel(n_jobs=cores())(delayed(c2st)(true[:rows], drawn[:rows], seed=seed) for true, drawn in pairs)
    return float(np.median(each)), each


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, required=True, help="the folder with sbibm's wheel")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with sbi; none: only ours")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--observations", type=int, default=len(OBSERVATIONS), help="the first of the ten")
    parser.add_argument("--rows", type=int, default=SAMPLES, help="samples of each kind in a C2ST; published: 10,000")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Print one line a task and budget."""
    options = parse()
    print(f"{options.observations} observations, {options.rows} samples of each; load {os.getloadavg()[0]:.1f}")
    print(f"{'task':<25}{'budget':>8}{'library':>9}{'C2ST':>7}{'published':>11}{'train s':>9}{'sample s':>10}  each")
    for name in options.tasks:
        pairs = [reference(options.references, name, number) for number in list(OBSERVATIONS)[: options.observations]]
        observations, references = np.array([pair[0] for pair in pairs]), [pair[1] for pair in pairs]
        for budget in options.budgets:
            theta, x = simulations(name, budget, options.seed)
            published = dict(zip(BUDGETS, TASKS[name].published, strict=True)).get(budget, np.nan)
            for library in ("ours", *(["sbi"] if options.peers else [])):
                fitted = (
                    ours(name, theta, x, observations, options.seed)
                    if library == "ours"
                    else theirs(options.peers, name, theta, x, observations, options.seed)
                )
                samples, training, sampling = fitted
                middle, each = median_c2st(samples, references, rows=options.rows, seed=options.seed)
                line = f"{name:<25}{budget:>8}{library:>9}{middle:>7.3f}{published:>11.3f}"
                line += f"{training:>9.1f}{sampling:>10.3f}  "
                print(line + " ".join(f"{value:.3f}" for value in each), flush=True)


if __name__ == "__main__":
    main()
