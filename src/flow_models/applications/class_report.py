"""The report on a generative classifier of vectors: what it says, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from flow_models.applications.base import one_hot
from flow_models.applications.class_pictures import class_samples, decision_map, reliability
from flow_models.applications.vectors import labels_of
from flow_models.data.tables import Table as Rows
from flow_models.evaluation.classification import ReliabilityCurve
from flow_models.evaluation.latent import principal_plane
from flow_models.report.page import Headline, Picture, Section, Table

if TYPE_CHECKING:
    from flow_models.model import FlowModel

REFERENCE_NAMES = {
    "gaussian_naive_bayes": "Gaussian naive Bayes",
    "quadratic_discriminants": "quadratic discriminants",
    "gradient_boosting": "gradient boosting",
}
_DRAWN = 1500
_PLANE = 2


def summary(source: str, metrics: Mapping[str, Any], *, number: int) -> str:
    """What was measured on what, and what came out."""
    text = (
        f"Measured on {number:,} test rows of {source.replace('_', ' ')}: {metrics['accuracy']:.1%} are classified "
        f"rightly, with an expected calibration error of {metrics['ece']:.1%}."
    )
    if "bayes_accuracy" in metrics:
        return f"{text} Bayes' optimum on the same rows is {metrics['bayes_accuracy']:.1%}."
    best = max(metrics["references"], key=lambda name: metrics["references"][name]["accuracy"])
    return f"{text} The best reference, {REFERENCE_NAMES[best]}, has {metrics['references'][best]['accuracy']:.1%}."


def headlines(metrics: Mapping[str, Any]) -> list[Headline]:
    """Accuracy and calibration; on the ring also how the samples of each class are."""
    lines = [
        Headline("accuracy", f"{metrics['accuracy']:.2%}", "of the test rows"),
        Headline("expected calibration error", f"{metrics['ece']:.2%}", "0 is perfect"),
    ]
    if "c2st" in metrics:
        worst = max(value for name, value in metrics["c2st"].items() if name != "mean")
        note = f"mean over classes, {worst:.3f} in the worst; 0.5 if samples and data are alike"
        lines.append(Headline("classifier's accuracy", f"{metrics['c2st']['mean']:.3f}", note))
        lines.append(Headline("modes covered", str(metrics["modes_covered"]), "of 8"))
    return lines


def sections(
    model: FlowModel,
    table: Rows,
    metrics: Mapping[str, Any],
    *,
    probabilities: NDArray[np.float64],
    curves: Mapping[str, ReliabilityCurve],
) -> list[Section]:
    """Everything the report shows, in order."""
    return [_classification(table, metrics, probabilities, curves), _generation(model, table, metrics)]


def _classification(
    table: Rows, metrics: Mapping[str, Any], probabilities: NDArray[np.float64], curves: Mapping[str, ReliabilityCurve]
) -> Section:
    scores = {"flow": metrics, **{REFERENCE_NAMES[name]: each for name, each in metrics["references"].items()}}
    rows = [
        [name, *(f"{each[key]:.4f}" for key in ("accuracy", "label_negative_log_likelihood", "ece"))]
        for name, each in scores.items()
    ]
    named = {REFERENCE_NAMES.get(name, name): curve for name, curve in curves.items()}
    return Section(
        "Classification",
        "The class of a vector is the one under which it is most likely, weighted by the classes' shares. The other "
        "classifiers learned from the same rows, and those held out besides.",
        tables=[
            Table("On the same test rows", ["Classifier", "accuracy", "nats per label", "calibration error"], rows),
            _confusion(table, probabilities),
        ],
        pictures={"reliability": reliability(named)},
    )


def _confusion(table: Rows, probabilities: NDArray[np.float64]) -> Table:
    classes, predicted = table.columns.classes, probabilities.argmax(axis=1)
    counts = confusion_matrix(table.rows("test").labels, predicted, labels=np.arange(len(classes)))
    rows = [[name, *map(str, line)] for name, line in zip(classes, counts, strict=True)]
    return Table("Test rows of each class, by the class predicted", ["Class", *classes], rows)


def _generation(model: FlowModel, table: Rows, metrics: Mapping[str, Any]) -> Section:
    tables = []
    if "c2st" in metrics:
        rows = [
            [name.replace("_", " "), f"{value:.3f}", f"{metrics['mmd'][name]:.5f}"]
            for name, value in metrics["c2st"].items()
        ]
        columns = ["Class", "C2ST accuracy", "MMD², unbiased"]
        tables.append(Table("Samples against fresh points; 0.5 and 0 are perfect", columns, rows))
    return Section(
        "Samples by class",
        "Told a class, the model draws vectors of it. Vectors of more than two columns are shown in the plane of the "
        "first two principal components of the standardised training rows.",
        tables=tables,
        pictures=_pictures(model, table),
    )


def _pictures(model: FlowModel, table: Rows) -> dict[str, Picture]:
    train, test, classes = table.rows("train").x, table.rows("test"), table.columns.classes
    labels = labels_of(test)
    samples = {
        name: np.asarray(model.sample(_DRAWN, context=one_hot(np.array([index]), len(classes)), seed=index))
        for index, name in enumerate(classes)
    }
    if train.shape[1] == _PLANE:
        names = (table.columns.x[0], table.columns.x[1])
        decided = decision_map(
            lambda x: softmax(np.asarray(model.joint_log_prob(x), np.float64), axis=1),
            test.x, labels, names=names, classes=classes,
        )  # fmt: skip
        return {"class_samples": class_samples(test.x, labels, samples, names=names), "decisions": decided}
    center, scale = train.mean(axis=0), train.std(axis=0)
    plane = principal_plane((train - center) / scale)

    def flat(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return plane.project((x - center) / scale).astype(np.float32)

    names = ("first principal component", "second principal component")
    drawn = {name: flat(x) for name, x in samples.items()}
    return {"class_samples": class_samples(flat(test.x), labels, drawn, names=names)}
