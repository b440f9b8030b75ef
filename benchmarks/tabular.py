"""The estimators at their defaults beside scikit-learn's own and others, on real tables and points in the plane.

    python -m benchmarks.tabular density           log-likelihood of held-out rows, 5 folds
    python -m benchmarks.tabular outliers          AUROC of one class of a table as outliers
    python -m benchmarks.tabular classification    accuracy, log loss, expected calibration error, 5 folds

``--peers PYTHON`` names an interpreter that has zuko and pyod, for two more columns of ``density`` and ``outliers``.
Where values are tied a density has no bound: for ``density`` such columns get uniform noise as wide as the step between
their values, the same for all methods. Kernel densities and mixtures get standardised columns.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.stats import rankdata
from sklearn.datasets import (
    fetch_california_housing,
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

import flow_models as fm
from benchmarks.workers import ask_peer
from flow_models.estimators.units import Units
from flow_models.evaluation.classification import expected_calibration_error
from flow_models.simulators.point_sets import POINT_SETS

Array = np.ndarray
Scores = Callable[[Array, Array], Array]  # rows to fit to, and rows to score
POINTS = 1_000
LEVEL = 0.1
BANDWIDTHS = np.logspace(-2, 1, 20)
COMPONENTS, COVARIANCES = range(1, 11), ("full", "tied", "diag")
LABELLED = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
TABLES = {
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "california_housing": fetch_california_housing,  # comes from the network, once
}


def kernel_density(train: Array, test: Array) -> Array:
    """With the bandwidth of the best cross-validated likelihood."""
    return GridSearchCV(KernelDensity(), {"bandwidth": BANDWIDTHS}, cv=5).fit(train).best_estimator_.score_samples(test)


def gaussian_mixture(train: Array, test: Array) -> Array:
    """With the components and covariances of the best Bayesian information criterion."""
    fits = [
        GaussianMixture(number, covariance_type=kind, n_init=2, random_state=0).fit(train)
        for number in COMPONENTS
        for kind in COVARIANCES
    ]
    return min(fits, key=lambda each: each.bic(train)).score_samples(test)


def flow_density(train: Array, test: Array) -> Array:
    """Ours."""
    return fm.FlowDensity(random_state=0).fit(train).score_samples(test)


def of_peer(python: str, method: str) -> Scores:
    """The scores of another library under its own interpreter."""

    def scores(train: Array, test: Array) -> Array:
        with TemporaryDirectory() as folder:
            np.savez(Path(folder) / "rows.npz", train=train, test=test)
            ask_peer(python, "tabular", {"method": method, "folder": folder})
            return np.load(Path(folder) / "scores.npy")

    return scores


DENSITIES: dict[str, Scores] = {
    "FlowDensity": flow_density,
    "KernelDensity": kernel_density,
    "GaussianMixture": gaussian_mixture,
}


def density(names: Sequence[str], peers: str | None) -> None:
    """Mean log-likelihood of held-out rows, in nats."""
    methods = DENSITIES | ({"zuko NSF": of_peer(peers, "zuko_nsf")} if peers else {})
    header("set", methods)
    for name in names or [*TABLES, *POINT_SETS]:
        if name in TABLES:
            try:
                x = np.asarray(TABLES[name]().data, np.float64)
            except OSError as error:
                print(f"{name}: left out, for it cannot be had ({error})")
                continue
            x = Units.of(x, None, seed=0).noisy(x, np.random.default_rng(0))
        else:
            x = POINT_SETS[name].draw(POINTS, np.random.default_rng(0))
        scores, seconds = defaultdict(list), defaultdict(float)
        for train, test in KFold(5, shuffle=True, random_state=0).split(x):
            mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
            units = (x - mean) / deviation
            for method, log_density in methods.items():
                start = time.perf_counter()
                scores[method].append(log_density(units[train], units[test]).mean() - np.log(deviation).sum())
                seconds[method] += time.perf_counter() - start
        line(name, {method: f"{np.mean(each):.3f} ({seconds[method] / 5:.0f} s)" for method, each in scores.items()})


DETECTORS: dict[str, Scores] = {
    "IsolationForest": lambda train, test: IsolationForest(random_state=0).fit(train).score_samples(test),
    "LocalOutlierFactor": lambda train, test: (
        make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(train).score_samples(test)
    ),
    "OneClassSVM": lambda train, test: make_pipeline(StandardScaler(), OneClassSVM()).fit(train).score_samples(test),
}


def outlier_sets(names: Sequence[str]) -> Iterator[tuple[str, Array, Array, Array]]:
    """Inliers to train on, inliers to test on, and outliers: each class of a table in turn."""
    for name in names or ["iris", "wine", "breast_cancer"]:
        x, y = LABELLED[name](return_X_y=True)
        for label in np.unique(y):
            train, test = train_test_split(x[y != label], test_size=0.3, random_state=0)
            yield f"{name}, class {label}", train, test, x[y == label]


def outliers(names: Sequence[str], peers: str | None) -> None:
    """AUROC, and the mean rank; and how often a fresh inlier has a p-value of at most 0.1."""
    others = DETECTORS | ({"pyod ECOD": of_peer(peers, "pyod_ecod")} if peers else {})
    columns = ["FlowOutlierDetector", *others]
    header("outliers", columns)
    ranks, alarms = [], []
    for name, train, test, odd in outlier_sets(names):
        inlying, both = np.repeat([1, 0], [len(test), len(odd)]), np.concatenate([test, odd])
        detector = fm.FlowOutlierDetector(random_state=0).fit(train)
        alarms.append((detector.p_values(test) <= LEVEL).mean())
        scores = [detector.score_samples(both), *(each(train, both) for each in others.values())]
        aurocs = [roc_auc_score(inlying, each) for each in scores]
        ranks.append(rankdata([-each for each in aurocs]))
        line(name, dict(zip(columns, (f"{each:.3f}" for each in aurocs), strict=True)))
    line("mean rank", dict(zip(columns, (f"{each:.2f}" for each in np.mean(ranks, axis=0)), strict=True)))
    print(f"inliers with a p-value of at most 0.1, mean of the sets: {np.mean(alarms):.3f}")


CLASSIFIERS = {
    "FlowClassifier": lambda: fm.FlowClassifier(random_state=0),
    "GaussianNB": GaussianNB,
    "QDA": lambda: make_pipeline(StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=0.1)),
    "LogisticRegression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "RandomForest": lambda: RandomForestClassifier(random_state=0),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(random_state=0),
}


def classification(names: Sequence[str], _peers: str | None) -> None:
    """Accuracy, log loss and ECE of the held-out rows of all folds together; and mean ranks."""
    header("table", CLASSIFIERS)
    ranks = defaultdict(list)
    for name in names or ["iris", "wine", "breast_cancer"]:
        x, y = LABELLED[name](return_X_y=True)
        measured = {}
        for method, make in CLASSIFIERS.items():
            probabilities = np.zeros((len(y), y.max() + 1))
            for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(x, y):
                probabilities[test] = make().fit(x[train], y[train]).predict_proba(x[test])
            measured[method] = (
                (probabilities.argmax(axis=1) == y).mean(),
                log_loss(y, np.clip(probabilities, 1e-12, 1)),
                expected_calibration_error(probabilities, y),
            )
        for index, measure in enumerate(("accuracy", "log loss", "ECE")):
            values = [each[index] for each in measured.values()]
            ranks[measure].append(rankdata([-each for each in values] if index == 0 else values))
            line(f"{name}, {measure}", dict(zip(CLASSIFIERS, (f"{each:.4f}" for each in values), strict=True)))
    for measure, each in ranks.items():
        means = (f"{rank:.2f}" for rank in np.mean(each, axis=0))
        line(f"mean rank, {measure}", dict(zip(CLASSIFIERS, means, strict=True)))


def header(first: str, methods: Iterable[str]) -> None:
    """Print the names of the columns."""
    line(first, {method: method for method in methods})


def line(first: str, columns: dict[str, str]) -> None:
    """Print a row of a table in Markdown."""
    print(f"| {first} | " + " | ".join(columns.values()) + " |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"density": density, "outliers": outliers, "classification": classification}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--sets", nargs="+", default=[], help="those alone")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with zuko and pyod; none: without them")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kinds[options.kind](options.sets, options.peers)


if __name__ == "__main__":
    main()
