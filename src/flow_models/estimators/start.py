"""Rows that a flow of few rows starts from: whitened by correlations that do not take noise for structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage

from flow_models.estimators.rows import Arrays


def shrunk(arrays: Arrays) -> Arrays:
    """The rows, with some about their mean for which the correlations shrink as Ledoit & Wolf 2004 have it.

    Correlations of few rows are noise, and a direction in which they do not vary would have no width: rows are added
    at ``mean ± c e_j``, so that the covariance becomes ``(1 - λ) S + λ μ I`` up to its scale, with λ the shrinkage
    that is best in expectation. Those of the context likewise, so that a regression on it is one with a ridge.
    """
    joint = np.hstack(arrays).astype(np.float64)
    n, width = joint.shape
    mean, deviation = joint.mean(axis=0), joint.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    share = float(ledoit_wolf_shrinkage((joint - mean) / deviation)) if n > 1 else 1.0
    share = np.clip(share, 1e-4, 0.9)
    # 2 rows a column, each at a distance c: they add 2 c² to a sum of squares of n.
    distance = np.sqrt(n * share / (1 - share) / 2)
    steps = np.vstack([np.eye(width), -np.eye(width)]) * distance * deviation
    scale = np.sqrt((n + len(steps)) * (1 - share) / n)  # the deviation stays what it was
    added = np.vstack([(joint - mean) * scale, steps * scale]) + mean
    return tuple(np.split(added.astype(np.float32), np.cumsum([each.shape[1] for each in arrays])[:-1], axis=1))


def centroids(v: NDArray[np.float32], of_class: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean row of each class, ``(k, p)``, shrunk to that of all as if by one row; of_class: one-hot rows."""
    overall = v.mean(axis=0)
    means = (of_class.T @ v + overall) / (of_class.sum(axis=0)[:, None] + 1)
    return np.asarray(means, np.float32)


def within_classes(arrays: Arrays) -> Arrays:
    """Rows about their class's mean: whitened by these, a flow that is still the identity is Fisher's discriminant."""
    v, of_class = arrays
    (within,) = shrunk((v - of_class @ centroids(v, of_class) + v.mean(axis=0),))
    return within, np.zeros((len(within), of_class.shape[1]), np.float32)
