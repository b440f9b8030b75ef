"""What each estimator answers where it is served: a table for every task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.estimators.base import FlowEstimator
from flow_models.estimators.classifier import FlowClassifier
from flow_models.estimators.density import FlowDensity
from flow_models.estimators.outlier_detector import FlowOutlierDetector
from flow_models.estimators.posterior import FlowPosterior


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How many samples, and of which seed."""

    number: int = 100
    seed: int = 0


def serve(estimator: FlowEstimator, rows: Any, *, task: str = "", number: int = 100, seed: int = 0) -> pd.DataFrame:
    """Answer one task; see ``pyfunc_estimator`` for what there is.

    Args:
        estimator: fitted.
        rows: ``(n, p)``, an array or a table.
        task: one of the estimator's; unset, the first of them.
        number: of samples.
        seed: of samples.

    Raises:
        ValueError: if the estimator has no such task.
    """
    tasks = TASKS[type(estimator).__name__]
    if task and task not in tasks:
        raise ValueError(f"task {task!r}: a {type(estimator).__name__} has {', '.join(tasks)}")
    return tasks[task or next(iter(tasks))](estimator, rows, Draws(number=number, seed=seed))


def example_of(estimator: FlowEstimator) -> NDArray[np.float64] | pd.DataFrame:
    """Two rows ``(2, p)`` in the middle of what the estimator was fitted to, by name if its columns have names."""
    if isinstance(estimator, FlowPosterior):
        rows = estimator.observations_.middle(2)
    else:
        rows = estimator.units_.from_flow(np.zeros((2, estimator.units_.columns)))
    named = hasattr(estimator, "feature_names_in_")
    return pd.DataFrame(rows, columns=list(estimator.feature_names_in_)) if named else rows


def _densities(density: FlowDensity, rows: Any, _draws: Draws) -> pd.DataFrame:
    return pd.DataFrame({"log_prob": density.score_samples(rows)})


def _outliers(detector: FlowOutlierDetector, rows: Any, _draws: Draws) -> pd.DataFrame:
    log_prob = detector.score_samples(rows)
    return pd.DataFrame(
        {
            "log_prob": log_prob,
            "score": -log_prob,  # higher is more outlying, as that of images
            "p_value": detector.p_values(rows),
            "outlier": detector.predict(rows) == -1,
        }
    )


def _classes(classifier: FlowClassifier, rows: Any, _draws: Draws) -> pd.DataFrame:
    probabilities = classifier.predict_proba(rows)
    return pd.DataFrame(
        {
            "class": classifier.classes_[probabilities.argmax(axis=1)],
            **{f"p_{name}": probabilities[:, index] for index, name in enumerate(classifier.classes_.tolist())},
            "log_prob": classifier.score_samples(rows),
        }
    )


def _samples(estimator: FlowDensity | FlowClassifier, _rows: Any, draws: Draws) -> pd.DataFrame:
    names = getattr(estimator, "feature_names_in_", [f"x{index}" for index in range(estimator.n_features_in_)])
    return pd.DataFrame(estimator.sample(draws.number, random_state=draws.seed), columns=list(names))


def _posterior(posterior: FlowPosterior, rows: Any, draws: Draws) -> pd.DataFrame:
    samples = posterior.sample(rows, draws.number, random_state=draws.seed)
    table = _parameters(samples.reshape(-1, samples.shape[-1]), posterior.parameter_names_)
    table.insert(0, "observation", np.repeat(np.arange(len(samples)), draws.number))
    return table


def _means(posterior: FlowPosterior, rows: Any, _draws: Draws) -> pd.DataFrame:
    return _parameters(posterior.predict(rows).reshape(-1, len(posterior.parameter_names_)), posterior.parameter_names_)


def _parameters(values: NDArray[np.float64], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list(names))


# By the name of the estimator's class; the first task is the one that is meant if none is named.
TASKS: dict[str, dict[str, Callable[[Any, Any, Draws], pd.DataFrame]]] = {
    "FlowDensity": {"score": _densities, "sample": _samples},
    "FlowOutlierDetector": {"score": _outliers},
    "FlowClassifier": {"score": _classes, "sample": _samples},
    "FlowPosterior": {"posterior": _posterior, "mean": _means},
}
