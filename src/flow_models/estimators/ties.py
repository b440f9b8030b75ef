"""Tied values: the lattice of a discrete column, and the atoms of one that is not, such as the zeros of rainfall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARE = 0.05  # of the rows that a value must have to be an atom
FEWEST = 8  # rows that it must have: of few rounded numbers some are alike by chance
ON_LATTICE = 1e-3  # of a step: how far from it a value may lie
TIED = 0.5  # share of repeated values from which on a column, or what is left of it, is discrete
ALIKE = 1e-7  # of a value: it may have been rounded to float32
SPARSE = 10  # points of a lattice for each value on it, from which on it is but how numbers are written
WIDEST = 3.0  # times the room of all others that an atom gets, or their shape would be lost beside it
_UNIFORM = np.sqrt(12)  # the width of a uniform distribution of deviation 1


@dataclass(frozen=True, kw_only=True)
class Atoms:
    """Where a column has atoms, and how much room each gets on the line of the flow.

    A density has no bound where values are tied, so each atom becomes an interval: what lies above moves up by its
    width, and its rows lie inside, anywhere in training, in the middle otherwise. The width times the density there is
    the probability of the atom.

    Attributes:
        values: of the atoms, ascending, ``(k, p)``, NaN where a column has fewer.
        places: where each would lie without the others, ``(k, p)``.
        widths: of the intervals, ``(k, p)``.
    """

    values: Array
    places: Array
    widths: Array

    @classmethod
    def none(cls, columns: int) -> Atoms:
        """No column has one."""
        nothing = np.zeros((0, columns))
        return cls(values=nothing, places=nothing, widths=nothing)

    @classmethod
    def of(cls, x: Array, values: Array, u: Array, places: Array) -> Atoms:
        """With the room for each atom that makes it as dense as the others are on average.

        Args:
            x: rows, ``(n, p)``.
            values: of the atoms, as ``find`` gives them.
            u: rows without atoms on the line of the flow, ``(n, p)``.
            places: of the values on that line, ``(k, p)``.
        """
        at = np.stack([_at(x, each) for each in values]) if len(values) else np.zeros((0, *x.shape), bool)
        shares, others = at.mean(axis=1), np.maximum((~at.any(axis=0)).mean(axis=0), 1 / len(x))
        widths = np.minimum(shares / others, WIDEST) * _UNIFORM * u.std(axis=0)
        return cls(values=values, places=places, widths=np.where(np.isnan(values), 0.0, widths))

    def open(self, u: Array, log_slope: Array, x: Array, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """U with the room for the atoms, anywhere in which their rows lie if there is an rng; and its log slope."""
        moved, log_slope = u.copy(), log_slope.copy()
        for value, width in zip(self.values, self.widths, strict=True):
            at = _at(x, value)
            place = 0.5 if rng is None else rng.uniform(size=x.shape)
            moved += np.where(at, place, (x > value) & ~at) * width
            log_slope = np.where(at, np.log(np.where(width > 0, width, 1.0)), log_slope)
        return moved, log_slope

    def close(self, u: Array) -> tuple[Array, Array]:
        """U without that room, and the atom that each lies at, NaN for none."""
        u, found = u.copy(), np.full(u.shape, np.nan)
        for value, place, width in zip(self.values, self.places, self.widths, strict=True):
            above = u - place
            found = np.where((above >= 0) & (above <= width), value, found)
            u -= np.clip(np.where(np.isnan(above), 0.0, above), 0.0, width)
        return u, found


def find(x: Array) -> Array:
    """The atoms of each column of rows ``(n, p)``, ascending, ``(k, p)``, NaN where a column has fewer.

    An atom has at least a twentieth of the rows, while most other values are there once. No value of a discrete column
    is one: where there are no such others, or all values crowd on a lattice.
    """
    found = [_atoms(column) for column in x.T]
    most = max(map(len, found))
    return np.array([np.pad(each, (0, most - len(each)), constant_values=np.nan) for each in found]).T


def without(x: Array, values: Array, rng: np.random.Generator) -> Array:
    """The rows with other values of the column, by lot, where its atoms were."""
    x = x.copy()
    for column in np.flatnonzero(~np.isnan(values).all(axis=0)).tolist():
        at = np.isin(x[:, column], values[:, column])
        x[at, column] = rng.choice(x[~at, column], at.sum())
    return x


def lattices(x: Array, columns: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Width of the noise by column, 0 where values are not tied; and a point of the lattice, NaN without one.

    Args:
        x: rows ``(n, p)``.
        columns: those to look at, ``(p,)``.
    """
    width, origin = np.zeros(x.shape[1]), np.full(x.shape[1], np.nan)
    for column in np.flatnonzero(columns).tolist():
        values = np.unique(x[:, column])
        if not _tied(len(values), len(x)):
            continue
        step = _step(values)
        width[column] = np.median(np.diff(values)) if step is None else step
        origin[column] = np.nan if step is None else values[0]
    return width, origin


def _step(values: Array) -> float | None:
    """Of the lattice on which the ascending values lie, up to their rounding; None if they lie on none."""
    gaps = np.diff(values)
    with np.errstate(over="ignore"):
        rounded = np.float32 if (values == values.astype(np.float32)).all() else np.float64
    error = 2 * float(np.finfo(rounded).eps * np.abs(values).max())
    # The smallest gap is a step but for rounding, which the many steps between the ends make up for.
    steps = np.round(gaps / gaps.min()).sum()
    step = float((values[-1] - values[0]) / steps)
    allowed = ON_LATTICE * step + error
    off = values - values[0]
    return step if allowed < step / 4 and (abs(off - step * np.round(off / step)) <= allowed).all() else None


def _tied(values: int, rows: int) -> bool:
    return values <= (1 - TIED) * rows


def _atoms(column: Array) -> Array:
    values, counts = np.unique(column, return_counts=True)
    frequent = counts >= max(SHARE * len(column), FEWEST)
    others = int(counts[~frequent].sum())
    if others < FEWEST or _tied(int((~frequent).sum()), others) or not frequent.any():
        return values[:0]
    step = _step(values) if _tied(len(values), len(column)) else None
    crowded = step is not None and values[-1] - values[0] < SPARSE * step * len(values)
    return values[:0] if crowded else values[frequent]


def _at(x: Array, value: Array) -> NDArray[np.bool_]:
    return np.abs(x - value) <= ALIKE * np.abs(value)
