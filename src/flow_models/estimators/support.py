"""Where a column may lie: bounds as they are stated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[float | None, float | None]


def bounds(support: Bounds | Sequence[Bounds] | None, columns: int) -> tuple[Array, Array]:
    """Lower and upper bound of each column, ``(p,)`` each, NaN for none.

    Raises:
        ValueError: if there are more or fewer bounds than columns, or no number between two.
    """
    pairs = np.full((columns, 2), np.nan)
    if support is not None:
        given = np.array(support, dtype=object)
        if given.shape not in ((2,), (columns, 2)):
            raise ValueError(
                f"support must be one pair (low, high) or one of each of {columns} columns; got {support!r}"
            )
        pairs[:] = np.array([np.nan if each is None else float(each) for each in given.ravel()]).reshape(given.shape)
        pairs[np.isinf(pairs)] = np.nan
    low, high = pairs.T.copy()
    if (low >= high).any():
        column = int(np.argmax(low >= high))
        raise ValueError(f"support of column {column}: there is no number between {low[column]} and {high[column]}")
    return low, high


def refuse_outside(least: Array, most: Array, low: Array, high: Array) -> None:
    """Raise if the least or the most of a column, ``(p,)`` each, lies beyond its bound."""
    for column in np.flatnonzero((least < low) | (most > high)).tolist():
        raise ValueError(
            f"column {column} holds values from {least[column]:g} to {most[column]:g}, outside of its support "
            f"({low[column]:g}, {high[column]:g}); widen the support or leave those rows out"
        )
