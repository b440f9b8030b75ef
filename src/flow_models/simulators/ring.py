"""Eight Gaussian modes on a ring, labelled by class (Ardizzone et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from flow_models.errors import FlowModelsError
from flow_models.simulators.base import Array

Labels = NDArray[np.int64]

ALL = (0, 1, 2, 3, 4, 5, 6, 7)
SOME = (0, 0, 0, 0, 1, 1, 2, 3)
FAR = 1 + np.sqrt(2)
CENTRES = np.array(
    [(-FAR, 1), (-1, FAR), (1, FAR), (FAR, 1), (FAR, -1), (1, -FAR), (-1, -FAR), (-FAR, -1)]  # clockwise, from the left
)
WIDTH = 0.2


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Points of eight equally likely modes N(centre, 0.2²·I), each of one class.

    Attributes:
        labels: the class of each mode, in the order of ``CENTRES``: four, one, one and two of them
            (:data:`SOME`), or all distinct (:data:`ALL`).

    References:
        Ardizzone et al. 2019, "Analyzing inverse problems with invertible neural networks", section 4.1.

    Raises:
        FlowModelsError: if the labels are not eight integers that count up from 0 without a gap.
    """

    labels: Sequence[int] = SOME

    def __post_init__(self) -> None:
        if len(self.labels) != len(CENTRES) or set(self.labels) != set(range(len(set(self.labels)))):
            raise FlowModelsError(f"ring: labels {list(self.labels)} are not eight classes 0, 1, …, one a mode")

    @property
    def classes(self) -> int:
        """How many."""
        return len(set(self.labels))

    def draw(self, number: int, rng: np.random.Generator) -> tuple[Array, Labels]:
        """Points ``(number, 2)`` and their classes ``(number,)``."""
        modes = rng.integers(len(CENTRES), size=number)
        return _around(modes, rng), np.asarray(self.labels)[modes]

    def draw_class(self, label: int, number: int, rng: np.random.Generator) -> Array:
        """Points of one class, ``(number, 2)``."""
        return _around(rng.choice(self.modes_of(label), number), rng)

    def modes_of(self, label: int) -> Labels:
        """The rows of ``CENTRES`` that are of a class."""
        return np.flatnonzero(np.asarray(self.labels) == label)

    def log_prob(self, x: Array) -> Array:
        """Log-density of points ``(n, 2)``, whatever their class: ``(n,)``, nats."""
        log_density: Array = logsumexp(_log_densities(x), axis=1) - np.log(len(CENTRES))
        return log_density

    def bayes_probabilities(self, x: Array) -> Array:
        """p(class | x) by Bayes' rule, ``(n, 2)`` to ``(n, classes)``; no classifier is better."""
        log_densities = _log_densities(x)
        modes = np.exp(log_densities - logsumexp(log_densities, axis=1, keepdims=True))
        return modes @ np.eye(self.classes)[list(self.labels)]


def nearest_mode(x: Array) -> Labels:
    """The row of ``CENTRES`` that each point ``(n, 2)`` lies nearest to, ``(n,)``."""
    return _log_densities(x).argmax(axis=1)


def _around(modes: Labels, rng: np.random.Generator) -> Array:
    return CENTRES[modes] + WIDTH * rng.standard_normal((len(modes), 2))


def _log_densities(x: Array) -> Array:
    """Of each mode, ``(n, 2)`` to ``(n, 8)``."""
    distance = ((x[:, None] - CENTRES) ** 2).sum(axis=-1)
    return -distance / (2 * WIDTH**2) - np.log(2 * np.pi * WIDTH**2)
