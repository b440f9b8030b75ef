"""How rarely inliers reach a value: the tail of one statistic, smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_expit, logsumexp
from scipy.stats import iqr

from flow_models.evaluation.density_of_states import LOT, deviation, least_deviation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class UpperTail:
    """The probability that an inlier has a statistic of t or more, by a kernel density of inliers.

    ``-log P(T ≥ t) = -log 1/m Σ_i 1 / (1 + exp((t - y_i) / s))``: logistic kernels whose deviation ``π s / √3`` is
    Scott's bandwidth, ``σ m^(-1/5)``. σ is the deviation of all inliers, or the one that their middle half tells of, if
    that varies and is less: one odd inlier does not smooth the tail of the others away. Beyond all inliers the surprise
    goes on to grow, by the distance from them, where their share would be 0 and tell no more.

    Attributes:
        points: y, the statistic of inliers, ``(m,)``.

    References:
        Azzalini 1981, "A note on the estimation of a distribution function and quantiles by a kernel method", eq. 1.2;
        Scott 1992, "Multivariate density estimation", eq. 6.42; Silverman 1986, "Density estimation for statistics and
        data analysis", eq. 3.30.
    """

    points: Array

    @classmethod
    def of(cls, statistic: ArrayLike) -> UpperTail:
        """Of a statistic of inliers that took no part in training.

        Args:
            statistic: ``(m,)``, finite, m > 0.

        Raises:
            ValueError: if it is not.
        """
        points = np.asarray(statistic, np.float64)
        if points.ndim != 1 or not points.size:
            raise ValueError(f"a statistic has shape {points.shape}; a tail needs (m,) with m > 0")
        if not np.isfinite(points).all():
            raise ValueError(f"statistic[{int(np.argmin(np.isfinite(points)))}] is not finite")
        return cls(points)

    @cached_property
    def scale(self) -> float:
        """s, in the unit of the points."""
        of_all, of_the_middle = deviation(self.points), iqr(self.points, scale="normal")
        sigma = min(of_all, of_the_middle) if of_the_middle > least_deviation(self.points) else of_all
        return float(sigma * len(self.points) ** -0.2 * np.sqrt(3) / np.pi)

    def surprise(self, statistic: ArrayLike) -> Array:
        """``-log P(T ≥ t)``, nats, of ``(n,)``: from 0 up; infinite where the statistic is infinite or NaN."""
        t = np.asarray(statistic, np.float64)
        surprise, scale = np.full(len(t), np.log(len(self.points))), self.scale
        for start in range(0, len(t), LOT):
            away = (t[start : start + LOT, np.newaxis] - self.points) / scale
            surprise[start : start + LOT] -= logsumexp(log_expit(-away), axis=1)
        return np.where(np.isnan(t), np.inf, surprise)
