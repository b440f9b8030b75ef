"""How much each kind of density counts in their mean: by the likelihood of rows that none of them has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Array = NDArray[np.float64]

STEPS = 200
TOLERANCE = 1e-6


def stacked(log_prob: Array, weights: Array | None = None) -> Array:
    """The shares, ``(k,)``, under which the mean of k densities makes the held-out rows likeliest.

    By expectation and maximisation from equal shares, each kind with one row more than it explains: of few held-out
    rows no kind is left out.

    Args:
        log_prob: of each held-out row under each density, ``(n, k)``.
        weights: of the rows, ``(n,)``, their mean 1; None for equal ones.

    References:
        Smyth & Wolpert 1999, "Linearly combining density estimators via stacking", section 3.
    """
    n, k = log_prob.shape
    counted = np.ones(n) if weights is None else weights
    shares = np.full(k, 1 / k)
    for _ in range(STEPS):
        explained = counted @ softmax(log_prob + np.log(shares), axis=1)
        before, shares = shares, (explained + 1) / (explained.sum() + k)
        if abs(shares - before).max() < TOLERANCE:
            break
    return np.asarray(shares)
