"""Vectors with classes: one density a class, and from them, by Bayes' rule, the class of a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from flow_models.applications.base import Evaluation, one_hot
from flow_models.applications.class_report import headlines, sections, summary
from flow_models.applications.reference_classifiers import reference_probabilities
from flow_models.applications.sources import LABELLED_TABLES, Labelled, LabelledTable
from flow_models.applications.vectors import VectorApplication, labels_of
from flow_models.data.tables import Table, read_table
from flow_models.errors import FlowModelsError
from flow_models.evaluation import classification
from flow_models.evaluation.likelihood import mean_and_standard_error
from flow_models.evaluation.two_sample import c2st, mmd_squared
from flow_models.settings import Settings
from flow_models.simulators.ring import ALL, CENTRES, SOME, WIDTH, Ring, nearest_mode

if TYPE_CHECKING:
    from flow_models.model import FlowModel

RINGS = {"ring": Ring(labels=SOME), "ring_distinct": Ring(labels=ALL)}
COMPARED = 5_000  # points of either kind and class; more would let the classifier's training take minutes
REACH = 3 * WIDTH  # 98.9 % of a mode's points lie nearer
ENOUGH = 0.5  # of the points that are expected at a mode
_FRESH = 3  # keeps the points that samples are compared with apart from those of training and test


class VectorClassification(VectorApplication):
    """Trained on vectors with classes, the model tells the class of a vector, and draws vectors of a class."""

    name = "vector_classification"

    def source(self, settings: Settings) -> Labelled | LabelledTable:
        """The ring, with four classes or with eight, or a real table."""
        name = settings.data.source
        if name in RINGS:
            return Labelled(RINGS[name])
        if name in LABELLED_TABLES:
            return LabelledTable(name)
        known = ", ".join([*RINGS, *LABELLED_TABLES])
        raise FlowModelsError(f"data.source: there is no labelled set {name}; known: {known}")

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure predictions beside other classifiers', and samples of each class where fresh points can be drawn."""
        table = read_table(settings.prepared_folder)
        predicted = predict(model, table)
        others = reference_probabilities(table, seed=settings.seed)
        metrics: dict[str, Any] = predicted.metrics()
        ring = RINGS.get(settings.data.source)
        if ring is not None:
            metrics |= ring_metrics(ring, model, predicted, seed=settings.seed)
        metrics["references"] = {name: _scores(each, predicted.labels) for name, each in others.items()}
        curves = {
            name: classification.reliability_curve(each, predicted.labels)
            for name, each in {"flow": predicted.probabilities, **others}.items()
        }
        return Evaluation(
            title=f"Generative classification: {settings.data.source.replace('_', ' ')}",
            summary=summary(settings.data.source, metrics, number=len(predicted.labels)),
            metrics=metrics,
            tables={"reliability": _reliability_table(curves)},
            headlines=headlines(metrics),
            sections=sections(model, table, metrics, probabilities=predicted.probabilities, curves=curves),
        )


APPLICATION = VectorClassification()


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a model makes of test rows.

    Attributes:
        x: ``(n, p)``.
        labels: ``(n,)``.
        joint: ``log p(x, c)`` in nats, ``(n, classes)``.
    """

    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    joint: NDArray[np.float64]

    @property
    def log_prob(self) -> NDArray[np.float64]:
        """``log p(x)``, whatever the class, ``(n,)``."""
        mixture: NDArray[np.float64] = logsumexp(self.joint, axis=1)
        return mixture

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """``p(c | x)``, ``(n, classes)``."""
        return np.exp(self.joint - self.log_prob[:, None])

    def metrics(self) -> dict[str, float]:
        """Of the predictions, and the loss of x itself in nats."""
        loss, error = mean_and_standard_error(-self.log_prob)
        return {
            **_scores(self.probabilities, self.labels),
            "mce": classification.maximum_calibration_error(self.probabilities, self.labels),
            "negative_log_likelihood": loss,
            "negative_log_likelihood_se": error,
        }


def predict(model: FlowModel, table: Table) -> Predicted:
    """The model's densities on the test rows.

    Raises:
        FlowModelsError: if the model knows other classes than the table.
    """
    if model.classes != len(table.columns.classes):
        raise FlowModelsError(
            f"the model tells {model.classes or 'no'} classes apart, the table has {len(table.columns.classes)}; "
            "train it on this table"
        )
    test = table.rows("test")
    return Predicted(x=test.x, labels=labels_of(test), joint=np.asarray(model.joint_log_prob(test.x), np.float64))


def ring_metrics(ring: Ring, model: FlowModel, predicted: Predicted, *, seed: int) -> dict[str, Any]:
    """What can be known where the truth is: Bayes' optimum, and samples of each class beside fresh points."""
    truth = predicted.x.astype(np.float64)
    gap, error = mean_and_standard_error(ring.log_prob(truth) - predicted.log_prob)
    number = min(COMPARED, len(truth) // ring.classes)
    compared: dict[str, dict[str, float]] = {"c2st": {}, "mmd": {}}
    covered, strays = 0, []
    for label in range(ring.classes):
        fresh = ring.draw_class(label, number, np.random.default_rng([seed, label, _FRESH]))
        of_class = one_hot(np.array([label]), ring.classes)
        samples = np.asarray(model.sample(number, context=of_class, seed=seed))
        compared["c2st"][f"class_{label}"] = c2st(fresh, samples, seed=seed)
        compared["mmd"][f"class_{label}"] = mmd_squared(fresh, samples)
        modes, stray = modes_covered(ring, label, samples)
        covered += modes
        strays.append(stray)
    for measures in compared.values():
        measures["mean"] = float(np.mean(list(measures.values())))
    return {
        "bayes_accuracy": classification.accuracy(ring.bayes_probabilities(truth), predicted.labels),
        "gap_to_truth": gap,
        "gap_to_truth_se": error,
        **compared,
        "modes_covered": covered,
        "stray_samples": float(np.mean(strays)),
    }


def modes_covered(ring: Ring, label: int, samples: NDArray[np.float32]) -> tuple[int, float]:
    """How many modes of a class have their samples, and the share of samples that are near none of them.

    A mode has its samples if at least half of those expected lie within 3 σ of it.
    """
    own = ring.modes_of(label)
    nearest = nearest_mode(samples.astype(np.float64))
    near = np.linalg.norm(samples - CENTRES[nearest], axis=1) <= REACH
    counts = np.bincount(nearest[near], minlength=len(CENTRES))[own]
    return int((counts >= ENOUGH * len(samples) / len(own)).sum()), float(1 - counts.sum() / len(samples))


def _scores(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    # A reference may be certain and wrong: an infinite loss would be no JSON.
    bounded = np.clip(probabilities, 1e-12, None)
    bounded /= bounded.sum(axis=1, keepdims=True)
    return {
        "accuracy": classification.accuracy(bounded, labels),
        "label_negative_log_likelihood": classification.negative_log_likelihood(bounded, labels),
        "ece": classification.expected_calibration_error(bounded, labels),
    }


def _reliability_table(curves: Mapping[str, classification.ReliabilityCurve]) -> pd.DataFrame:
    """Columns confidence, accuracy, share, classifier; bins without predictions are left out."""
    parts = [
        pd.DataFrame(
            {"confidence": each.confidence, "accuracy": each.accuracy, "share": each.share, "classifier": name}
        ).dropna()
        for name, each in curves.items()
    ]
    return pd.concat(parts, ignore_index=True)
