"""Monotone maps of a column onto the whole line, and which of them suits its rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sklearn.linear_model import Ridge

Array = NDArray[np.float64]

PLAIN, ASINH, ABOVE, BELOW, BETWEEN, CLIPPED = range(6)
NEAREST = 1e-7  # of the room between two bounds: how near to one a value may count
WORTH_DRAWING_IN = 0.1  # nats a row by which asinh must fit better to be chosen
WORTH_CLIPPING = 0.02  # likewise a soft clip
BENDS = (0.1, 0.05, 0.025, 0.0125)  # of the room between two bounds: how softly a clip to them may bend
_LOG_2_PI = np.log(2 * np.pi)


def gaussian_fit(u: Array, log_slope: Array, given: Array | None = None) -> Array:
    """Nats a row, up to a constant, of the Gaussian that fits each column best, ``(p,)``.

    Args:
        u: the columns as a map has them, ``(n, p)``.
        log_slope: ``log du/dx``, ``(n, p)``.
        given: rows that are known with them, ``(n, m)``: the Gaussian's mean is linear in them. None for none, nor are
            they used where there are hardly more rows than columns.
    """
    if given is not None and len(u) > 2 * (given.shape[1] + 1):
        u = u - Ridge().fit(given, u).predict(given).reshape(u.shape)
    with np.errstate(divide="ignore"):
        return np.asarray(log_slope.mean(axis=0) - np.log(u.std(axis=0)))


def _asinh(x: Array, _low: Array, _high: Array, centre: Array, reach: Array) -> tuple[Array, Array]:
    return np.arcsinh((x - centre) / reach), -np.log(np.hypot(x - centre, reach))


def _above(x: Array, low: Array, _high: Array, _centre: Array, reach: Array) -> tuple[Array, Array]:
    distance = np.maximum(x - low, NEAREST * reach)
    return np.log(distance), -np.log(distance)


def _below(x: Array, _low: Array, high: Array, _centre: Array, reach: Array) -> tuple[Array, Array]:
    distance = np.maximum(high - x, NEAREST * reach)
    return -np.log(distance), -np.log(distance)


def _between(x: Array, low: Array, high: Array, _centre: Array, _reach: Array) -> tuple[Array, Array]:
    u = ndtri(np.clip((x - low) / (high - low), NEAREST, 1 - NEAREST))
    return u, 0.5 * (u**2 + _LOG_2_PI) - np.log(high - low)


def _clipped(x: Array, low: Array, high: Array, _centre: Array, reach: Array) -> tuple[Array, Array]:
    room = high - low
    x = np.clip(x, low + NEAREST * room, high - NEAREST * room)
    from_low, to_high = (x - low) / reach, (high - x) / reach
    u = x + reach * (np.log(-np.expm1(-from_low)) - np.log(-np.expm1(-to_high)))
    return u, np.log1p(1 / np.expm1(from_low) + 1 / np.expm1(to_high))


def _clip(u: Array, low: Array, high: Array, _centre: Array, reach: Array) -> Array:
    return low + reach * (np.logaddexp(0, (u - low) / reach) - np.logaddexp(0, (u - high) / reach))


# u and log du/dx of x, and x of u, given the columns' lower and upper bounds, centres and reaches.
FORTH: dict[int, Callable[..., tuple[Array, Array]]] = {
    ASINH: _asinh,
    ABOVE: _above,
    BELOW: _below,
    BETWEEN: _between,
    CLIPPED: _clipped,
}
BACK: dict[int, Callable[..., Array]] = {
    ASINH: lambda u, _low, _high, centre, reach: centre + reach * np.sinh(np.clip(u, -700, 700)),
    ABOVE: lambda u, low, _high, _centre, _reach: low + np.exp(np.clip(u, -700, 700)),
    BELOW: lambda u, _low, high, _centre, _reach: high - np.exp(np.clip(-u, -700, 700)),
    BETWEEN: lambda u, low, high, _centre, _reach: low + (high - low) * ndtr(u),
    CLIPPED: _clip,
}
