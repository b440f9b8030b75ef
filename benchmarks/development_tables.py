"""Tables on which the defaults of ``FlowDensity`` and ``FlowClassifier`` were chosen; none is one they are judged by.

    python -m benchmarks.development_tables density [--rows 500] [--set weight_decay=0.01 steps=3000]
    python -m benchmarks.development_tables classification

Shows, of 4,000 fresh rows, the mean log-density in nats, by all and by the flows alone; or the log loss and the
expected calibration error; and the seconds of the fit. ``--set`` changes the recipe of the flows, see ``Recipe``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from sklearn.datasets import (
    make_classification,
    make_friedman1,
    make_gaussian_quantiles,
    make_moons,
    make_s_curve,
    make_swiss_roll,
)
from sklearn.metrics import log_loss

import flow_models as fm
from benchmarks.development_simulators import FRESH, SIMULATORS, Array, changed, chosen, timed
from flow_models.estimators.members import ensemble_log_prob
from flow_models.evaluation.classification import expected_calibration_error

PAIRS = ("polynomial", "four points", "queue", "g and k", "linear")  # parameters and observations as one table


def tables(number: int) -> Iterator[tuple[str, Array]]:
    """Rows without classes."""
    for name in PAIRS:
        yield name, np.hstack(SIMULATORS[name].pairs(number, np.random.default_rng(3)))
    rng = np.random.default_rng(1)
    yield "roll", make_swiss_roll(number, noise=0.5, random_state=0)[0]
    yield "s curve", make_s_curve(number, noise=0.05, random_state=0)[0]
    x = rng.uniform(-3, 3, number)
    yield "sine", np.column_stack([x, np.sin(2 * x) + 0.1 * rng.normal(size=number)])
    arm, along, across = rng.integers(0, 5, number), 1 + 0.3 * rng.normal(size=number), 0.1 * rng.normal(size=number)
    turned = (along + 1j * across) * np.exp(1j * (arm * 2 * np.pi / 5 + 0.8 * along))
    yield "pinwheel", np.column_stack([turned.real, turned.imag])
    inputs, output = make_friedman1(number, random_state=0)
    yield "friedman", np.column_stack([inputs[:, :5], output])
    x = rng.normal(size=number)
    noise = 0.3 * rng.normal(size=(2, number))
    yield "banana", np.column_stack([x, x**2 + noise[0], np.tanh(x) + noise[1]])
    arm, along = rng.integers(0, 3, number), 1 + 3.5 * np.sqrt(rng.uniform(size=number))
    turned = along * np.exp(1j * (1.2 * along + arm * 2 * np.pi / 3))
    yield "arms", np.column_stack([turned.real, turned.imag]) + 0.1 * rng.normal(size=(number, 2))
    yield "squares", 2 * rng.integers(0, 3, (number, 2)) + rng.uniform(-0.5, 0.5, (number, 2))
    turned = 1.5 * (np.exp(2j * np.pi * rng.uniform(size=number)) + rng.integers(0, 2, number))
    yield "links", np.column_stack([turned.real, turned.imag]) + 0.08 * rng.normal(size=(number, 2))


def labelled(number: int) -> Iterator[tuple[str, Array, Array]]:
    """Rows and their classes."""
    options = {"n_features": 10, "n_informative": 6, "n_clusters_per_class": 2, "n_classes": 3, "random_state": 0}
    yield "clusters, 10", *make_classification(number, **options)
    options = {"n_features": 30, "n_informative": 10, "n_clusters_per_class": 1, "n_classes": 4, "random_state": 1}
    yield "clusters, 30", *make_classification(number, **options)
    yield "moons", *make_moons(number, noise=0.3, random_state=0)
    yield "shells", *make_gaussian_quantiles(n_samples=number, n_features=5, n_classes=3, random_state=0)
    rng = np.random.default_rng(0)
    classes, x = rng.integers(0, 2, number), rng.normal(size=(number, 6))
    x[:, 0] += 1.5 * classes
    x[:, 1] *= 1 + classes
    x[:, 2] += x[:, 0] ** 2
    yield "skewed", np.exp(x * [1, 1, 0.3, 0.5, 0.1, 1]), classes


def density(kind: type[fm.FlowDensity], rows: int) -> None:
    """One line a table."""
    for name, x in tables(rows + FRESH):
        fitted, seconds = timed(kind(random_state=0).fit, x[:rows])
        v, log_slope = fitted.units_.to_flow(x[rows:])
        flows = ensemble_log_prob(fitted.members_, v) + log_slope
        print(f"{name:<15}{fitted.score(x[rows:]):>10.3f}{flows.mean():>10.3f}{seconds:>9.1f}", flush=True)


def classification(kind: type[fm.FlowClassifier], rows: int) -> None:
    """One line a table."""
    for name, x, classes in labelled(rows + FRESH):
        fitted, seconds = timed(kind(random_state=0).fit, x[:rows], classes[:rows])
        told = fitted.predict_proba(x[rows:])
        error = expected_calibration_error(told, classes[rows:])
        print(f"{name:<15}{log_loss(classes[rows:], told):>10.3f}{error:>10.3f}{seconds:>9.1f}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["density", "classification"])
    parser.add_argument("--rows", type=int, default=500, help="to learn from")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of the recipe")
    options = parser.parse_args()
    choices = chosen(options.set)
    if options.question == "density":
        density(changed(fm.FlowDensity, choices), options.rows)
    else:
        classification(changed(fm.FlowClassifier, choices), options.rows)


if __name__ == "__main__":
    main()
