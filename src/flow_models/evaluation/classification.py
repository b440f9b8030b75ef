"""How right predicted class probabilities are, and how far they mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROW_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ReliabilityCurve:
    """Accuracy against confidence in equal-width bins of confidence; empty bins are NaN.

    Attributes:
        confidence: ``(bins,)``, mean confidence of the predictions in the bin.
        accuracy: ``(bins,)``, share of them that are right; equal to the confidence if calibrated.
        share: ``(bins,)``, share of all predictions that fall into the bin; sums to 1.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def gap(self) -> NDArray[np.float64]:
        """``(bins,)``: distance of accuracy from confidence, 0 where the bin is empty."""
        return np.nan_to_num(np.abs(self.accuracy - self.confidence))


def accuracy(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Share of the predictions whose most probable class is the label; the first of equal ones counts.

    Args:
        probabilities: ``(n, k)``, rows summing to 1.
        labels: ``(n,)``, integers in ``[0, k)``.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: if they do not belong together, a row is no distribution or a label no class.
    """
    p, y = _checked(probabilities, labels)
    return float((p.argmax(axis=1) == y).mean())


def negative_log_likelihood(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """``-mean log p(label)``: smallest in expectation for the true probabilities.

    Args:
        probabilities: ``(n, k)``, rows summing to 1.
        labels: ``(n,)``, integers in ``[0, k)``.

    Returns:
        Nats per prediction; infinite if a label was given probability 0.

    Raises:
        ValueError: if they do not belong together, a row is no distribution or a label no class.

    References:
        Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation",
        section 4 (the logarithmic score); Guo et al. 2017, eq. 6.
    """
    p, y = _checked(probabilities, labels)
    with np.errstate(divide="ignore"):
        return float(-np.log(p[np.arange(len(y)), y]).mean())


def reliability_curve(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> ReliabilityCurve:
    """What a reliability diagram shows. Confidence is the probability of the predicted class.

    Args:
        probabilities: ``(n, k)``, rows summing to 1.
        labels: ``(n,)``, integers in ``[0, k)``.
        bins: equal-width confidence bins.

    Raises:
        ValueError: if they do not belong together, a row is no distribution or a label no class.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", section 2.
    """
    p, y = _checked(probabilities, labels)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityCurve(
            confidence=np.bincount(which, weights=confidence, minlength=bins) / count,
            accuracy=np.bincount(which, weights=correct, minlength=bins) / count,
            share=count / len(y),
        )


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """How far confidence is from accuracy, averaged over the predictions.

    It is biased upwards: n predictions of a calibrated classifier have one of the order of
    ``sqrt(bins / n)`` times the standard deviation of being right.

    Args:
        probabilities: ``(n, k)``, rows summing to 1.
        labels: ``(n,)``, integers in ``[0, k)``.
        bins: equal-width confidence bins.

    Returns:
        A number in [0, 1]; 0 is perfectly calibrated.

    Raises:
        ValueError: if they do not belong together, a row is no distribution or a label no class.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", eq. 3.
    """
    curve = reliability_curve(probabilities, labels, bins=bins)
    return float(curve.share @ curve.gap)


def maximum_calibration_error(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """How far confidence is from accuracy in the worst bin, however few predictions it holds.

    Args:
        probabilities: ``(n, k)``, rows summing to 1.
        labels: ``(n,)``, integers in ``[0, k)``.
        bins: equal-width confidence bins.

    Returns:
        A number in [0, 1]; 0 is perfectly calibrated.

    Raises:
        ValueError: if they do not belong together, a row is no distribution or a label no class.

    References:
        Guo et al. 2017, "On calibration of modern neural networks", eq. 5.
    """
    return float(reliability_curve(probabilities, labels, bins=bins).gap.max())


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != len("nk") or y.shape != p.shape[:1] or not p.size:
        raise ValueError(f"probabilities {p.shape} and labels {y.shape} do not belong together")
    # Written so that a NaN is refused too.
    wrong = ~((np.abs(p.sum(axis=1) - 1) <= _ROW_SUM_TOLERANCE) & (p >= 0).all(axis=1))
    if wrong.any():
        raise ValueError(f"row {wrong.argmax()} of probabilities is negative, NaN or does not sum to 1")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"labels are {y.dtype} in [{y.min()}, {y.max()}], not integers in [0, {p.shape[1]})")
    return p, y.astype(np.int64)
