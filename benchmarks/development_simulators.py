"""Simulators on which the defaults of ``FlowPosterior`` were chosen; none of them is one of those it is judged by.

    python -m benchmarks.development_simulators [--budgets 1000 10000] [--set weight_decay=0.01 smoothing=0.0]

Shows the mean log-density, in nats, of the parameters of fresh simulations given what was observed of them, and the
seconds of the fit. ``--set`` changes the recipe of the flows, see ``Recipe``. All priors are uniform.
"""

from __future__ import annotations

import argparse
import ast
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import flow_models as fm
from flow_models.estimators.recipe import Recipe

FRESH = 4_000
Array = np.ndarray
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Simulator:
    """Lower and upper bound of each parameter, and what is observed of rows of them."""

    bounds: list[tuple[float, float]]
    simulate: Callable[[Array, np.random.Generator], Array]

    def pairs(self, number: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Parameters and observations."""
        low, high = np.array(self.bounds).T
        theta = rng.uniform(low, high, (number, len(low)))
        return theta, self.simulate(theta, rng)


def location(theta: Array, rng: np.random.Generator) -> Array:
    """The parameters with noise of heavy tails."""
    return theta + 0.05 * rng.standard_t(3, size=theta.shape)


def box(theta: Array, rng: np.random.Generator) -> Array:
    """The parameters with normal noise, of the kind of ``gaussian_linear_uniform``."""
    return theta + 0.5 * rng.normal(size=theta.shape)


def mixed_scales(theta: Array, rng: np.random.Generator) -> Array:
    """The parameters with noise of one of three deviations."""
    return theta + rng.normal(size=theta.shape) * rng.choice([0.5, 0.05, 0.15], (len(theta), 1))


def curved(theta: Array, rng: np.random.Generator) -> Array:
    """A concave function of each, with noise."""
    return np.sign(theta) * abs(theta) ** 0.8 + 0.25 * rng.normal(size=theta.shape)


def polynomial(theta: Array, rng: np.random.Generator) -> Array:
    """Squares, products and a sine."""
    a, b, c, d = theta.T
    exact = np.column_stack([a**2 + b, b * c + d, np.sin(2 * a) + d**3, c - a * d])
    return exact + 0.1 * rng.normal(size=exact.shape)


def linear(theta: Array, rng: np.random.Generator) -> Array:
    """Eight mixtures of eight parameters."""
    mixing = np.random.default_rng(5).normal(size=(8, 8))
    return theta @ mixing.T + rng.normal(size=theta.shape)


def four_points(theta: Array, rng: np.random.Generator) -> Array:
    """Of a normal distribution whose deviations are told but for their signs (Papamakarios et al. 2019, SLCP)."""
    middle, deviation, correlation = theta[:, None, :2], theta[:, None, 2:4] ** 2, np.tanh(theta[:, 4])[:, None]
    noise = rng.normal(size=(len(theta), 4, 2))
    noise[..., 1] = correlation * noise[..., 0] + np.sqrt(1 - correlation**2) * noise[..., 1]
    return (middle + deviation * noise).reshape(len(theta), 8)


def g_and_k(theta: Array, rng: np.random.Generator) -> Array:
    """Quantiles of a hundred numbers of a g-and-k distribution (Rayner & MacGillivray 2002)."""
    a, b, g, k = theta.T[..., None]
    z = rng.normal(size=(len(theta), 100))
    drawn = a + b * (1 + 0.8 * np.tanh(g * z / 2)) * (1 + z**2) ** k * z
    return np.arcsinh(np.quantile(drawn, np.linspace(0.05, 0.95, 8), axis=1)).T


def queue(theta: Array, rng: np.random.Generator) -> Array:
    """Quantiles of the times between fifty departures from an M/G/1 queue (Blum & François 2010)."""
    shortest, spread, rate = theta.T[..., None]
    service = shortest + spread * rng.uniform(size=(len(theta), 50))
    arrival = np.cumsum(rng.exponential(size=service.shape) / rate, axis=1)
    departure, between = np.zeros(len(theta)), np.empty_like(service)
    for index in range(service.shape[1]):
        between[:, index] = service[:, index] + np.maximum(0, arrival[:, index] - departure)
        departure += between[:, index]
    return np.log(np.quantile(between, np.linspace(0, 1, 5), axis=1)).T


def decay(theta: Array, rng: np.random.Generator) -> Array:
    """An exponential decay with a drift, at ten times."""
    times = np.linspace(0.2, 5, 10)
    height, rate, drift = theta.T[..., None]
    return height * np.exp(-rate * times) + 0.2 * drift * times + 0.05 * rng.normal(size=(len(theta), len(times)))


def ring(theta: Array, rng: np.random.Generator) -> Array:
    """The distance from the middle of the plane."""
    return np.hypot(*theta.T)[:, None] + 0.05 * rng.normal(size=(len(theta), 1))


SIMULATORS = {
    "location": Simulator([(0, 1)] * 3, location),
    "box": Simulator([(-2, 2)] * 8, box),
    "mixed scales": Simulator([(-4, 4)] * 3, mixed_scales),
    "curved": Simulator([(-1, 1)] * 5, curved),
    "polynomial": Simulator([(-1, 1)] * 4, polynomial),
    "linear": Simulator([(-1, 1)] * 8, linear),
    "four points": Simulator([(-3, 3)] * 5, four_points),
    "g and k": Simulator([(0, 10), (0.1, 10), (-3, 3), (0, 1)], g_and_k),
    "queue": Simulator([(0, 10), (0.1, 10), (0.01, 1 / 3)], queue),
    "decay": Simulator([(0, 2)] * 3, decay),
    "ring": Simulator([(-1, 1)] * 2, ring),
}


def chosen(settings: list[str]) -> dict[str, Any]:
    """``name=value`` as a dictionary."""
    return {name: ast.literal_eval(value) for name, value in (each.split("=") for each in settings)}


def changed(kind: type[Kind], choices: dict[str, Any]) -> type[Kind]:
    """The estimator with these choices in its recipe."""

    class Changed(kind):
        def _recipe(self, n: int, p: int, m: int = 0) -> Recipe:
            return super()._recipe(n, p, m).changed(**choices)

    return Changed


def timed(fit: Callable[..., Kind], *rows: Array) -> tuple[Kind, float]:
    """What was fitted to the rows, and the seconds."""
    start = time.perf_counter()
    return fit(*rows), time.perf_counter() - start


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulators", nargs="+", choices=SIMULATORS, default=list(SIMULATORS))
    parser.add_argument("--budgets", type=int, nargs="+", default=[1_000])
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of the recipe")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Print one line a simulator and budget."""
    options = parse()
    posterior = changed(fm.FlowPosterior, chosen(options.set))
    print(f"{'simulator':<15}{'budget':>8}{'log density':>13}{'error':>8}{'train s':>9}")
    for name in options.simulators:
        simulator = SIMULATORS[name]
        theta, x = simulator.pairs(FRESH, np.random.default_rng([options.seed, 999]))
        for budget in options.budgets:
            known, seen = simulator.pairs(budget, np.random.default_rng([options.seed, budget]))
            fitted, seconds = timed(posterior(support=simulator.bounds, random_state=options.seed).fit, seen, known)
            each = fitted.log_prob(x, theta)
            error = each.std() / np.sqrt(FRESH)
            print(f"{name:<15}{budget:>8}{each.mean():>13.4f}{error:>8.4f}{seconds:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
