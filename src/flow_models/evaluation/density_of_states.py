"""How usual the statistics are that a model computes of an example: a density over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf

Array = NDArray[np.float64]
_FEWEST = 2
_FLOOR = 1e-6  # of a statistic's size: one that never varied is taken to vary this much
LOT = 1024  # examples whose distances to all points are in memory at once


@dataclass(frozen=True)
class DensityOfStates:
    """A kernel density of whitened statistics.

    ``log p(t) = log 1/m Σ_i N(W (t - c); y_i, h² I) + log|det W|`` with Scott's bandwidth, ``h = m^(-1 / (k + 4))``.

    Attributes:
        center: c, ``(k,)``.
        whitening: W transposed, ``(k, k)``; of the covariance after Ledoit & Wolf 2004, which few examples do not
            make singular.
        points: y, the whitened statistics of inliers, ``(m, k)``.

    References:
        Morningstar et al. 2021, "Density of states estimation for out-of-distribution detection", arXiv:2006.09273,
        section 3, here with a joint density in place of their product over the statistics, which are correlated;
        Scott 1992, "Multivariate density estimation", eq. 6.42.
    """

    center: Array
    whitening: Array
    points: Array

    @classmethod
    def of(cls, statistics: ArrayLike) -> DensityOfStates:
        """Fit it to inliers that took no part in training.

        Args:
            statistics: ``(m, k)``, finite, m > 1.

        Raises:
            ValueError: if they are not.
        """
        t = np.asarray(statistics, np.float64)
        if t.ndim != 2 or len(t) < _FEWEST:  # noqa: PLR2004
            raise ValueError(f"statistics have shape {t.shape}; a density needs (m, k) with m > 1")
        if not np.isfinite(t).all():
            raise ValueError(f"statistics[{int(np.argmin(np.isfinite(t).all(axis=1)))}] is not finite")
        center = t.mean(axis=0)
        scale = deviation(t)
        covariance, _ = ledoit_wolf((t - center) / scale, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        spread = np.sqrt(np.maximum(values, _FLOOR * values.max())) if values.max() > 0 else np.ones_like(values)
        whitening = vectors / spread / scale[:, np.newaxis]
        return cls(center, whitening, (t - center) @ whitening)

    @property
    def bandwidth(self) -> float:
        """h, the deviation of the kernel in whitened units."""
        number, width = self.points.shape
        return float(number ** (-1 / (width + 4)))

    @property
    def log_scale(self) -> float:
        """What is added to ``log Σ_i exp(-|W (t - c) - y_i|² / 2 h²)`` for the log-density."""
        number, width = self.points.shape
        log_det = float(np.linalg.slogdet(self.whitening)[1])
        return log_det - float(np.log(number) + width * (np.log(self.bandwidth) + np.log(2 * np.pi) / 2))

    def of_each_by_the_others(self) -> Array:
        """``-log p(t)`` of each of the points by the density of the other ones, ``(m,)``.

        What fresh inliers have: by the whole density a point has its own kernel's share as well.
        """
        number = len(self.points)
        of_others = self._log_sum_of_kernels(self.points, without_own=True) + self.log_scale
        return np.asarray(np.log((number - 1) / number) - of_others)

    def negative_log_density(self, statistics: ArrayLike) -> Array:
        """``-log p(t)`` of ``(n, k)``, ``(n,)``: higher is more unusual; infinite where any is not finite."""
        t = np.asarray(statistics, np.float64)
        known = np.all(np.isfinite(t), axis=1, keepdims=True)
        y = (np.where(known, t, self.center) - self.center) @ self.whitening
        score = -(self._log_sum_of_kernels(y) + self.log_scale)
        return np.where(known[:, 0], score, np.inf)

    def _log_sum_of_kernels(self, y: Array, *, without_own: bool = False) -> Array:
        """``log Σ_i exp(-|y - y_i|² / 2 h²)``, ``(n,)``; ``without_own``: y are the points, each less its own."""
        sums = np.empty(len(y))
        for start in range(0, len(y), LOT):
            squares = cdist(y[start : start + LOT], self.points, "sqeuclidean")
            if without_own:
                np.fill_diagonal(squares[:, start:], np.inf)
            sums[start : start + LOT] = logsumexp(-squares / (2 * self.bandwidth**2), axis=1)
        return sums


def deviation(statistics: Array) -> Array:
    """That of each statistic of ``(m, ...)``; what never varied is taken to vary by a millionth of its size."""
    return np.asarray(np.maximum(statistics.std(axis=0), least_deviation(statistics)))


def least_deviation(statistics: Array) -> Array:
    """What each statistic of ``(m, ...)`` is taken to vary by at least."""
    return np.asarray(np.maximum(_FLOOR * np.abs(statistics).max(axis=0), np.finfo(np.float32).tiny))
