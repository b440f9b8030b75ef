"""Anyone's columns as a flow takes them: unbounded, of unit scale, without ties; and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
Bounds = tuple[float | None, float | None]

MOST = 100_000  # rows that scales and ties are taken from
ALIKE = 1e-12  # of the largest number: a column that varies less is a constant with rounding
TIED = 0.5  # share of repeated values from which on a column counts as discrete
WORTH = 0.1  # nats a row by which asinh must fit better to be chosen
NEAREST = 1e-7  # of the room between two bounds: how near to one a value may count
_LOG_2_PI = np.log(2 * np.pi)

PLAIN, ASINH, ABOVE, BELOW, BETWEEN = range(5)


@dataclass(frozen=True, kw_only=True)
class Units:
    r"""A monotone map of each column, then mean 0 and deviation 1.

    ``v = (u - mean) / deviation`` with, by column,

    - ``u = x``; or ``u = asinh((x - centre) / reach)`` if a Gaussian fits that better by 0.1 nats a row: heavy tails
      (Burbidge, Magee & Robb 1988, eq. 2)
    - ``u = log(x - low)`` or ``u = -log(high - x)`` where one side is bounded
    - ``u = Φ⁻¹((x - low) / (high - low))`` where both are: a uniform variable becomes a normal one

    A column that does not vary is left out; another value in it has density 0, as has one outside its bounds.

    Attributes:
        kind: which of the maps, ``(p,)``.
        low: bound, NaN for none, ``(p,)``; ``high`` likewise.
        centre: of asinh, ``(p,)``; ``reach`` its scale.
        mean: of u, ``(p,)``; ``deviation`` likewise.
        varies: whether a column does, ``(p,)``; ``constant`` its value if not.
        width: of the uniform noise that takes ties away, ``(p,)``, 0 for none (Theis, van den Oord & Bethge 2016).
        origin: a value of the lattice that a discrete column lies on, ``(p,)``, NaN for none; its step is ``width``.
    """

    kind: NDArray[np.int64]
    low: Array
    high: Array
    centre: Array
    reach: Array
    mean: Array
    deviation: Array
    varies: NDArray[np.bool_]
    constant: Array
    width: Array
    origin: Array

    @classmethod
    def of(cls, x: NDArray[Any], support: Bounds | Sequence[Bounds] | None, *, seed: int, ties: bool = True) -> Units:
        """From rows ``(n, p)``.

        Args:
            x: finite.
            support: lower and upper bound of each column, or one pair for all; None for no bound.
            seed: of the rows that are looked at if there are many.
            ties: whether tied values get noise.

        Raises:
            ValueError: if the bounds are not those of the columns, or a value lies outside of them.
        """
        low, high = _bounds(support, x.shape[1])
        least, most = np.asarray(x.min(axis=0), np.float64), np.asarray(x.max(axis=0), np.float64)
        _refuse_outside(least, most, low, high)
        varies = most - least > ALIKE * np.maximum(abs(least), abs(most))
        some = _some(x, seed)
        width, origin = _lattices(some, varies) if ties else (np.zeros_like(low), np.full_like(low, np.nan))
        # How near a value may lie to a bound: with only one, in units of what is usual.
        centre = np.median(some, axis=0)
        reach = np.median(abs(some - centre), axis=0)
        reach = np.where(reach > 0, reach, np.where(varies, some.std(axis=0), 1.0))
        reach = np.where(reach > 0, reach, 1.0)
        bounded = np.select(
            [~np.isnan(low) & ~np.isnan(high), ~np.isnan(low), ~np.isnan(high)], [BETWEEN, ABOVE, BELOW], PLAIN
        )
        common: dict[str, Any] = {"low": low, "high": high, "centre": centre, "reach": reach, "varies": varies}
        common |= {"constant": np.asarray(x[0], np.float64), "width": width, "origin": origin}
        draft = cls(kind=bounded, mean=np.zeros_like(low), deviation=np.ones_like(low), **common)
        some = draft.noisy(some, np.random.default_rng([seed, 1]))
        kind = np.where((bounded == PLAIN) & _heavy_tailed(some, centre, reach), ASINH, bounded)
        draft = cls(kind=kind, mean=np.zeros_like(low), deviation=np.ones_like(low), **common)
        u = draft._unbounded(some)[0]
        deviation = u.std(axis=0)
        deviation = np.where(varies & (deviation > 0), deviation, 1.0)
        return cls(kind=kind, mean=u.mean(axis=0), deviation=deviation, **common)

    @property
    def columns(self) -> int:
        """How many columns vary: the width of v."""
        return int(self.varies.sum())

    def to_flow(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], Array]:
        """``v``, ``(n, columns)``, and ``log|dv/dx|``, ``(n,)``: -inf where the density is 0."""
        x = np.asarray(x, np.float64)
        u, log_slope = self._unbounded(x)
        v = ((u - self.mean) / self.deviation)[:, self.varies].astype(np.float32)
        total = (log_slope - np.log(self.deviation))[:, self.varies].sum(axis=1)
        outside = ((x < self.low) | (x > self.high)).any(axis=1)
        other = abs(x - self.constant) > ALIKE * np.maximum(abs(x), abs(self.constant))
        return v, np.where(outside | other[:, ~self.varies].any(axis=1), -np.inf, total)

    def from_flow(self, v: NDArray[Any], *, snap: bool = True) -> Array:
        """``x``, ``(n, p)``, from v; discrete columns on their lattice if ``snap``."""
        full = np.zeros((len(v), len(self.varies)))
        full[:, self.varies] = v
        u = full * self.deviation + self.mean
        x = u.copy()
        for kind, back in _BACK.items():
            which = self.kind == kind
            if which.any():
                x[:, which] = back(
                    u[:, which], *(each[which] for each in (self.low, self.high, self.centre, self.reach))
                )
        if snap:
            on = ~np.isnan(self.origin)
            steps = np.round((x[:, on] - self.origin[on]) / self.width[on])
            x[:, on] = self.origin[on] + self.width[on] * steps
        # A sample may round to the bound itself, or beyond it.
        x = np.where(np.isnan(self.low), x, np.maximum(x, np.nextafter(self.low, np.inf)))
        x = np.where(np.isnan(self.high), x, np.minimum(x, np.nextafter(self.high, -np.inf)))
        x[:, ~self.varies] = self.constant[~self.varies]
        return x

    def noisy(self, x: NDArray[Any], rng: np.random.Generator) -> Array:
        """Rows whose ties are taken away by noise as wide as the step between values, inside the bounds."""
        x = np.asarray(x, np.float64)
        if not self.width.any():
            return x
        x = x + self.width * rng.uniform(-0.5, 0.5, x.shape)
        x = np.where(x < self.low, 2 * self.low - x, x)
        return np.where(x > self.high, 2 * self.high - x, x)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            name: [
                None if isinstance(value, float) and math.isnan(value) else value for value in np.asarray(each).tolist()
            ]
            for name, each in asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Units:
        """What ``to_json`` gave."""
        dtypes = {"kind": np.int64, "varies": np.bool_}
        return cls(
            **{each.name: np.array(content[each.name], dtypes.get(each.name, np.float64)) for each in fields(cls)}
        )

    def _unbounded(self, x: Array) -> tuple[Array, Array]:
        """``u`` and ``log du/dx`` by column, ``(n, p)`` each."""
        u, log_slope = x.copy(), np.zeros_like(x)
        for kind, forth in _FORTH.items():
            which = self.kind == kind
            if which.any():
                given = (each[which] for each in (self.low, self.high, self.centre, self.reach))
                u[:, which], log_slope[:, which] = forth(x[:, which], *given)
        return u, log_slope


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


_FORTH: dict[int, Callable[..., tuple[Array, Array]]] = {ASINH: _asinh, ABOVE: _above, BELOW: _below, BETWEEN: _between}
_BACK: dict[int, Callable[..., Array]] = {
    ASINH: lambda u, low, high, centre, reach: centre + reach * np.sinh(np.clip(u, -700, 700)),  # noqa: ARG005
    ABOVE: lambda u, low, high, centre, reach: low + np.exp(np.clip(u, -700, 700)),  # noqa: ARG005
    BELOW: lambda u, low, high, centre, reach: high - np.exp(np.clip(-u, -700, 700)),  # noqa: ARG005
    BETWEEN: lambda u, low, high, centre, reach: low + (high - low) * ndtr(u),  # noqa: ARG005
}


def _bounds(support: Bounds | Sequence[Bounds] | None, columns: int) -> tuple[Array, Array]:
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


def _refuse_outside(least: Array, most: Array, low: Array, high: Array) -> None:
    for column in np.flatnonzero((least < low) | (most > high)).tolist():
        raise ValueError(
            f"column {column} holds values from {least[column]:g} to {most[column]:g}, outside of its support "
            f"({low[column]:g}, {high[column]:g}); widen the support or leave those rows out"
        )


def _some(x: NDArray[Any], seed: int) -> Array:
    if len(x) <= MOST:
        return np.asarray(x, np.float64)
    rows = np.sort(np.random.default_rng(seed).choice(len(x), MOST, replace=False))
    return np.asarray(x[rows], np.float64)


def _lattices(x: Array, varies: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Width of the noise by column, 0 where values are not tied; and a point of the lattice, NaN without one."""
    width, origin = np.zeros(x.shape[1]), np.full(x.shape[1], np.nan)
    for column in np.flatnonzero(varies).tolist():
        values = np.unique(x[:, column])
        if len(values) > (1 - TIED) * len(x):
            continue
        gaps = np.diff(values)
        step = width[column] = np.median(gaps)
        multiples = gaps / gaps.min()
        if np.allclose(multiples, np.round(multiples), atol=1e-3):
            step = width[column] = gaps.min()
            origin[column] = values[0] if step else np.nan
    return width, origin


def _heavy_tailed(x: Array, centre: Array, reach: Array) -> NDArray[np.bool_]:
    """Whether a Gaussian fits asinh of a column better than the column, by ``WORTH`` nats a row."""
    u, log_slope = _asinh(x, centre, centre, centre, reach)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(u.std(axis=0)) + log_slope.mean(axis=0) > -np.log(x.std(axis=0)) + WORTH)
