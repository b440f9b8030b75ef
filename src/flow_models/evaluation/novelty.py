"""How far an observation lies outside everything that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Directions in which training varied less than this share of the most varied one count as varying this much.
_FLOOR = 1e-4


@dataclass(frozen=True)
class Seen:
    """The region of the observations seen in training: an ellipsoid that holds them all.

    Attributes:
        mean: of the observations, ``(m,)``.
        whitening: ``(m, m)``; observations less the mean, times this, have unit covariance.
        reach: the largest length of a whitened observation.
    """

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    reach: float

    @classmethod
    def of(cls, observations: ArrayLike) -> Seen:
        """From observations ``(n, m)``, finite."""
        y = np.asarray(observations, np.float64)
        mean, scale = y.mean(axis=0), y.std(axis=0)
        scale = np.where(scale > 0, scale, 1)
        values, vectors = np.linalg.eigh(np.cov(((y - mean) / scale).T, bias=True).reshape(y.shape[1], -1))
        spread = np.sqrt(np.maximum(values, max(_FLOOR**2 * values.max(), np.finfo(float).tiny)))
        whitening = (vectors / spread) / scale[:, np.newaxis]
        return cls(mean, whitening, float(np.linalg.norm((y - mean) @ whitening, axis=1).max()))

    def distance(self, observations: ArrayLike) -> NDArray[np.float64]:
        """Whitened length in units of the largest one seen, ``(n,)``: above 1 lies outside (Mahalanobis 1936)."""
        length = np.linalg.norm((np.asarray(observations, np.float64) - self.mean) @ self.whitening, axis=1)
        return length / max(self.reach, np.finfo(float).tiny)

    def warnings(self, observations: ArrayLike, names: Sequence[str]) -> list[str]:
        """One line for each observation outside, with how far, and the column that is furthest from its mean."""
        y = np.asarray(observations, np.float64)
        deviations = np.sqrt(np.diag(np.linalg.pinv(self.whitening @ self.whitening.T)))
        return [
            f"observation {row}: {distance:.1f} times as far from the middle of the training data as anything seen in "
            f"training ({names[column]} is {y[row, column]:g}, {abs(away[column]):.1f} deviations from its mean); "
            "the posterior is an extrapolation"
            for row, distance in enumerate(self.distance(y))
            if distance > 1
            for away in [(y[row] - self.mean) / deviations]
            for column in [int(np.abs(away).argmax())]
        ]

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"mean": self.mean.tolist(), "whitening": self.whitening.tolist(), "reach": self.reach}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Seen:
        """What ``to_json`` gave."""
        return cls(np.asarray(content["mean"]), np.asarray(content["whitening"]), float(content["reach"]))
