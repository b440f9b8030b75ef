"""Simulators, point sets and the ring as sources of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_models.data.tables import Columns, Rows
from flow_models.simulators.base import Simulator, simulate_table
from flow_models.simulators.point_sets import PointSet
from flow_models.simulators.ring import Ring


@dataclass(frozen=True)
class Simulated:
    """A prior and a forward model.

    Attributes:
        simulator: what draws.
        tolerated_failures: the largest share of draws that may fail and be drawn again.
    """

    simulator: Simulator
    tolerated_failures: float = 0.0

    @property
    def columns(self) -> Columns:
        """Parameters are x, observations are y."""
        return Columns(x=self.simulator.parameters, y=self.simulator.observations, support=self.simulator.support)

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        """Parameters from the prior, and what is observed of them."""
        drawn = simulate_table(
            self.simulator, number, seed=seed, epoch=stream, tolerated_failures=self.tolerated_failures
        )
        return rows(drawn.x, y=drawn.y)


@dataclass(frozen=True)
class Points:
    """A distribution in the plane."""

    points: PointSet

    @property
    def columns(self) -> Columns:
        """Two coordinates."""
        return Columns(x=("x_1", "x_2"))

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        """Independent points."""
        return rows(self.points.draw(number, np.random.default_rng([seed, stream])))


@dataclass(frozen=True)
class Labelled:
    """Points of the ring, with their classes."""

    ring: Ring

    @property
    def columns(self) -> Columns:
        """Two coordinates, and a class of its own name for each label."""
        return Columns(x=("x_1", "x_2"), classes=tuple(f"class {label}" for label in range(self.ring.classes)))

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        """Independent points and their labels."""
        x, labels = self.ring.draw(number, np.random.default_rng([seed, stream]))
        return rows(x, labels=labels)


def rows(
    x: ArrayLike,
    *,
    y: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    labels: Sequence[int] | NDArray[np.int64] | None = None,
) -> Rows:
    """Arrays as rows; what is not given has no columns."""
    nothing = np.zeros((len(np.asarray(x)), 0), np.float32)
    return Rows(
        x=np.asarray(x, np.float32),
        y=nothing if y is None else np.asarray(y, np.float32),
        noise=nothing if noise is None else np.asarray(noise, np.float32),
        labels=None if labels is None else np.asarray(labels, np.int64),
    )
