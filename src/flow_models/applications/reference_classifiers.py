"""What other classifiers reach on the same rows: naive Bayes, quadratic discriminants, gradient boosting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from flow_models.applications.vectors import labels_of
from flow_models.data.tables import Rows, Table
from flow_models.errors import FlowModelsError

SHRINKAGES = (0.0, 0.01, 0.1, 0.5)  # of each class's covariance towards a sphere

Probabilities = NDArray[np.float64]


def reference_probabilities(table: Table, *, seed: int) -> dict[str, Probabilities]:
    """p(class | x) of the test rows, ``(n, classes)``, by the name of the classifier.

    Each learns from the training and the held-out rows; the discriminants choose their shrinkage on the latter.

    Raises:
        FlowModelsError: if a class has no row to learn from.
    """
    train, holdout, test = (table.rows(split) for split in ("train", "holdout", "test"))
    x, labels = np.concatenate([train.x, holdout.x]), np.concatenate([labels_of(train), labels_of(holdout)])
    if len(np.unique(labels)) < len(table.columns.classes):
        raise FlowModelsError("labels: a class has no row to train on; bring more rows, or leave the class out")
    classifiers = {
        "gaussian_naive_bayes": GaussianNB(),
        "quadratic_discriminants": _discriminants(train, holdout, classes=len(table.columns.classes)),
        "gradient_boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    return {name: each.fit(x, labels).predict_proba(test.x) for name, each in classifiers.items()}


def _discriminants(train: Rows, holdout: Rows, *, classes: int) -> Pipeline:
    """Quadratic discriminants with the shrinkage that is best on the held-out rows."""

    def loss(shrinkage: float) -> float:
        try:
            fitted = _with(shrinkage).fit(train.x, labels_of(train))
        except np.linalg.LinAlgError:  # fewer rows in a class than columns: it has no covariance of its own
            return np.inf
        return float(log_loss(labels_of(holdout), fitted.predict_proba(holdout.x), labels=np.arange(classes)))

    return _with(min(SHRINKAGES, key=loss))


def _with(shrinkage: float) -> Pipeline:
    return make_pipeline(StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=shrinkage))
