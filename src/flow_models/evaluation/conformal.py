"""p-values of outlier scores from held-out inliers, valid for any score and any model.

They rest on one assumption: that an inlier to be tested is exchangeable with the inliers of the
calibration set. These must have taken no part in training, in model selection or in the choice of
the score. They are coarse: n calibration inliers give n + 1 possible values, the smallest of which
is 1 / (n + 1), so with few of them no image can be very significant, however odd it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

# p-values of a small calibration set are on the line of Benjamini and Hochberg exactly, often enough
# that rounding p m / k must not decide.
_ROUNDING = 1e-12


def p_values(calibration_scores: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """``(1 + #{calibration scores ≥ s}) / (n + 1)`` of every score s.

    An inlier's p-value is at most α with probability at most α, on average over calibration sets;
    with one calibration set in hand, the rate of false alarms is α up to a spread of about
    ``sqrt(α (1 - α) / n)``. Ties count as more outlying, so they make it larger.

    Args:
        calibration_scores: ``(n,)``, of inliers kept from training, higher is more outlying.
        scores: ``(m,)``.

    Returns:
        ``(m,)`` in [1 / (n + 1), 1].

    Raises:
        ValueError: if there are no calibration scores or a score is NaN.

    References:
        Vovk et al. 2005, "Algorithmic learning in a random world", section 2.2; Bates et al. 2023,
        "Testing for outliers with conformal p-values", eq. 2.
    """
    calibration, s = _scores(calibration_scores, "calibration_scores"), _scores(scores, "scores")
    n = _number_of_inliers(calibration.size)
    at_least = n - np.searchsorted(np.sort(calibration), s, side="left")
    return np.asarray((1 + at_least) / (n + 1))


def smallest_p_value(calibration_size: int) -> float:
    """``1 / (n + 1)``, what the oddest of images gets.

    A level below it finds nothing in a single image. Among m images, Benjamini-Hochberg at a level
    q finds k outliers of that p-value only if ``1 / (n + 1) ≤ q k / m``.

    Args:
        calibration_size: n, number of calibration inliers.

    Raises:
        ValueError: if there are none.
    """
    return 1 / (_number_of_inliers(calibration_size) + 1)


def benjamini_hochberg(p: ArrayLike, *, level: float) -> NDArray[np.bool_]:
    """Which of a batch to call outliers, so that the expected share of inliers among them is bounded.

    The bound is ``level`` times the share of inliers in the batch. It holds for `p_values` although
    they depend on each other through the calibration set (Bates et al. 2023, theorem 2), and on
    average over calibration sets and batches: in one batch the share may be larger.

    Args:
        p: ``(m,)``, p-values.
        level: bound of the false discovery rate, in (0, 1).

    Returns:
        ``(m,)``, True for an outlier.

    Raises:
        ValueError: if a p-value is outside [0, 1] or the level outside (0, 1).

    References:
        Benjamini & Hochberg 1995, "Controlling the false discovery rate", eq. 1; Bates et al. 2023,
        "Testing for outliers with conformal p-values", section 2.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, not in (0, 1)")
    p = _scores(p, "p")
    if not p.size:  # SciPy has no answer for an empty batch
        return np.zeros(0, np.bool_)
    return np.asarray(false_discovery_control(p, method="bh") <= level * (1 + _ROUNDING))


def _number_of_inliers(n: int) -> int:
    if n < 1:
        raise ValueError("there are no calibration scores; p-values need at least one held-out inlier")
    return n


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    v = np.asarray(values, np.float64)
    if v.ndim != 1:
        raise ValueError(f"{name} has shape {v.shape}; it must be (n,)")
    if np.isnan(v).any():
        raise ValueError(f"{name}[{np.isnan(v).argmax()}] is NaN")
    return v
