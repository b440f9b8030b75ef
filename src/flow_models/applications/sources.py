"""Simulators, point sets, the ring and real tables as sources of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

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
class Measured:
    """A prior and an exact forward model, measured with Gaussian noise, which is kept beside in units of σ.

    Attributes:
        simulator: what draws, without noise.
        sigma: σ, in the unit of the observations.
        tolerated_failures: the largest share of draws that may fail and be drawn again.
    """

    simulator: Simulator
    sigma: float
    tolerated_failures: float = 0.0

    @property
    def columns(self) -> Columns:
        """Parameters are x, observations y, and the noise of each observation ε."""
        plain = Simulated(self.simulator).columns
        noise = tuple(f"noise_{index}" for index in range(1, len(plain.y) + 1))
        return Columns(x=plain.x, noise=noise, y=plain.y, support=plain.support)

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        """Parameters from the prior, their noise, and what is observed of both."""
        drawn = simulate_table(
            self.simulator, number, seed=seed, epoch=stream, tolerated_failures=self.tolerated_failures
        )
        noise = self._noise(drawn.y.shape, seed=seed, stream=stream)
        return rows(drawn.x, y=drawn.y + self.sigma * noise, noise=noise)

    def measured_again(self, known: Rows, *, seed: int, stream: int) -> Rows:
        """The same parameters with fresh noise, which costs no simulation."""
        noise = self._noise(known.y.shape, seed=seed, stream=stream)
        return rows(known.x, y=known.y + self.sigma * (noise - known.noise), noise=noise)

    def _noise(self, shape: tuple[int, ...], *, seed: int, stream: int) -> NDArray[np.float64]:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,))).standard_normal(shape)


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


LABELLED_TABLES: dict[str, Callable[[], Any]] = {
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
}
TEST_SHARE = 0.25


@dataclass(frozen=True)
class LabelledTable:
    """A real table with classes, of scikit-learn's, cut by the seed into rows to train on and rows to test on.

    Measured values are rounded, and where they tie a density could grow without bound: every draw adds uniform noise
    as wide as the resolution of the column (Theis et al. 2016, section 3.1). A fresh stream has the rows to train on
    with fresh noise. Columns that are constant say nothing and are left out.

    Attributes:
        name: as in ``LABELLED_TABLES``.
    """

    name: str

    @property
    def columns(self) -> Columns:
        """As the table calls them."""
        table = _read(self.name)
        return Columns(x=table.names, classes=table.classes)

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        """At most ``number`` rows, of those to test on in stream 1, else of those to train on."""
        table = _read(self.name)
        train, test = train_test_split(
            np.arange(len(table.x)), test_size=TEST_SHARE, stratify=table.labels, random_state=seed
        )
        part = (test if stream == 1 else train)[:number]
        noise = np.random.default_rng([seed, stream]).random([len(part), len(table.names)]) - 0.5
        return rows(table.x[part] + table.resolution * noise, labels=table.labels[part])


@dataclass(frozen=True)
class _Labelled:
    """A table as it came, less its constant columns; ``resolution`` is the smallest step between two values."""

    x: NDArray[np.float64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    resolution: NDArray[np.float64]


@cache
def _read(name: str) -> _Labelled:
    table = LABELLED_TABLES[name]()
    kept = np.flatnonzero(np.ptp(table.data, axis=0))
    x = table.data[:, kept]
    return _Labelled(
        x=x,
        labels=table.target,
        names=tuple(str(table.feature_names[column]) for column in kept),
        classes=tuple(str(each) for each in table.target_names),
        resolution=np.array([np.diff(np.unique(column)).min() for column in x.T]),
    )


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
