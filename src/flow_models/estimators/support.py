"""Where a column may lie: bounds as they are stated, or as the data clearly show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[float | None, float | None]
Support = Bounds | Sequence[Bounds] | Literal["auto"] | None

ENOUGH = 50  # rows, of which a bound can be told
UP_AGAINST = 0.8  # times as many next to a bound as a little further, where a density does not fall toward it


def bounds(support: Support, columns: int) -> tuple[Array, Array]:
    """Lower and upper bound of each column, ``(p,)`` each, NaN for none.

    Raises:
        ValueError: if there are more or fewer bounds than columns, or no number between two.
    """
    pairs = np.full((columns, 2), np.nan)
    if support is not None:
        given = np.array(support, dtype=object)
        if given.shape not in ((2,), (columns, 2)):
            raise ValueError(
                f"support must be one pair (low, high), one of each of {columns} columns, or 'auto'; got {support!r}"
            )
        pairs[:] = np.array([np.nan if each is None else float(each) for each in given.ravel()]).reshape(given.shape)
        pairs[np.isinf(pairs)] = np.nan
    low, high = pairs.T.copy()
    if (low >= high).any():
        column = int(np.argmax(low >= high))
        raise ValueError(f"support of column {column}: there is no number between {low[column]} and {high[column]}")
    return low, high


def seen_bounds(x: Array, least: Array, most: Array) -> tuple[Array, Array]:
    """Bounds that columns clearly have: 0 where all values are above it, 1 where all are below, and crowd there.

    They crowd at 0 if there are at least 0.8 times as many between 0 and half the median as between that and the
    median: a density that falls toward 0, as that of a normal variable far from it, has fewer.

    Args:
        x: rows ``(n, p)``, or some of them.
        least: of each column, ``(p,)``, in all rows.
        most: likewise.
    """
    low = np.where((least > 0) & _crowded_at_zero(x), 0.0, np.nan)
    high = np.where((most < 1) & _crowded_at_zero(1 - x), 1.0, np.nan)
    return low, high


def _crowded_at_zero(x: Array) -> NDArray[np.bool_]:
    middle = np.median(x, axis=0)
    near, further = (x <= middle / 2).sum(axis=0), ((x > middle / 2) & (x <= middle)).sum(axis=0)
    return np.asarray((len(x) >= ENOUGH) & (near >= UP_AGAINST * further))


def refuse_outside(least: Array, most: Array, low: Array, high: Array) -> None:
    """Raise if the least or the most of a column, ``(p,)`` each, lies beyond its bound."""
    for column in np.flatnonzero((least < low) | (most > high)).tolist():
        raise ValueError(
            f"column {column} holds values from {least[column]:g} to {most[column]:g}, outside of its support "
            f"({low[column]:g}, {high[column]:g}); widen the support or leave those rows out"
        )
