"""Anyone's columns as a flow takes them: unbounded, of unit scale, without ties; and back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_models.estimators.maps import (
    ABOVE,
    ASINH,
    BACK,
    BELOW,
    BENDS,
    BETWEEN,
    CLIPPED,
    FORTH,
    PLAIN,
    WORTH_CLIPPING,
    WORTH_DRAWING_IN,
    gaussian_fit,
)
from flow_models.estimators.rows import Rows, parts
from flow_models.estimators.support import Support, bounds, refuse_outside, seen_bounds
from flow_models.estimators.ties import Atoms, find, lattices, without

Array = NDArray[np.float64]

MOST = 100_000  # rows that scales and ties are taken from
ALIKE = 1e-12  # of the largest number: a column that varies less is a constant with rounding


@dataclass(frozen=True, kw_only=True)
class Units:
    r"""A monotone map of each column, then mean 0 and deviation 1.

    ``v = (u - mean) / deviation`` with, by column,

    - ``u = x``; or ``u = asinh((x - centre) / reach)`` if a Gaussian fits that better by 0.1 nats a row: heavy tails
      (Burbidge, Magee & Robb 1988, eq. 2)
    - ``u = log(x - low)`` or ``u = -log(high - x)`` where one side is bounded
    - ``u = Φ⁻¹((x - low) / (high - low))`` where both are: a uniform variable becomes a normal one; or, if that fits
      better by 0.02 nats, what a soft clip makes x of, ``x = low + s (softplus((u - low) / s) -
      softplus((u - high) / s))`` with s, from a tenth to an eightieth of ``high - low``, that fits best: what is narrow
      between its bounds stays as it is

    Fits are those of a Gaussian, about its linear regression on what is given with the columns if anything is: a map
    that leaves the relation to it straight leaves the flow the least to learn.

    Where a column has atoms, values of many rows each beside others of one, ``Atoms`` makes room for them on the line
    of u, and what counts at an atom is its probability; a bound that is an atom asks for no other map.

    A column that does not vary is left out; another value in it has density 0, as has one outside its bounds.

    Attributes:
        kind: which of the maps, ``(p,)``.
        low: bound, NaN for none, ``(p,)``; ``high`` likewise.
        centre: of asinh, ``(p,)``; ``reach`` its scale, or s of a soft clip.
        mean: of u, ``(p,)``; ``deviation`` likewise.
        varies: whether a column does, ``(p,)``; ``constant`` its value if not.
        width: of the uniform noise that takes ties away, ``(p,)``, 0 for none (Theis, van den Oord & Bethge 2016).
        origin: a value of the lattice that a discrete column lies on, ``(p,)``, NaN for none; its step is ``width``.
        atoms: of the columns.
        least: that a sample may be, ``(p,)``, NaN for none: next to a bound, or an atom at the column's end; ``most``
            likewise.
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
    atoms: Atoms
    least: Array
    most: Array

    @classmethod
    def of(cls, x: Rows, support: Support, *, seed: int, ties: bool = True, given: NDArray[Any] | None = None) -> Units:
        """From rows ``(n, p)``.

        Args:
            x: finite.
            support: lower and upper bound of each column, or one pair for all; "auto": those that they clearly have,
                see ``seen_bounds``; None for no bound.
            seed: of the rows that are looked at if there are many.
            ties: whether tied values get noise, and atoms room.
            given: what is known with each of the rows that ``some_of`` takes, ``(n, m)``, if they are learned given it.

        Raises:
            ValueError: if the bounds are not those of the columns, or a value lies outside of them.
        """
        ends = [(each.min(axis=0), each.max(axis=0)) for each in parts(x)]
        least, most = (np.array(each, np.float64) for each in zip(*ends, strict=True))
        least, most = least.min(axis=0), most.max(axis=0)
        some, rng = some_of(x, seed), np.random.default_rng([seed, 1])
        seen = isinstance(support, str) and support == "auto"
        low, high = seen_bounds(some, least, most) if seen else bounds(support, x.shape[1])
        refuse_outside(least, most, low, high)
        varies = most - least > ALIKE * np.maximum(abs(least), abs(most))
        values = find(some) if ties else np.zeros((0, x.shape[1]))
        width, origin = lattices(some, varies & np.isnan(values).all(axis=0) & ties)
        others = without(some, values, rng)
        at_least, at_most, at_low, at_high = ((values == each).any(axis=0) for each in (least, most, low, high))
        below, above = ~np.isnan(low) & ~at_low, ~np.isnan(high) & ~at_high
        centre, reach = _middle(others)
        draft = cls(
            kind=np.select([below & above, below, above], [BETWEEN, ABOVE, BELOW], PLAIN),
            low=low,
            high=high,
            centre=centre,
            reach=reach,
            mean=np.zeros_like(low),
            deviation=np.ones_like(low),
            varies=varies,
            constant=np.asarray(x[0], np.float64),
            width=width,
            origin=origin,
            atoms=Atoms.none(x.shape[1]),
            least=np.where(at_least, least, np.nextafter(low, np.inf)),
            most=np.where(at_most, most, np.nextafter(high, -np.inf)),
        )
        return draft._fitted(draft.noisy(some, rng), draft.noisy(others, rng), values, rng, given)

    def _fitted(
        self, x: Array, others: Array, values: Array, rng: np.random.Generator, given: NDArray[Any] | None
    ) -> Units:
        """With the maps that fit, room for the atoms, and the scale of rows x; in ``others`` there are no atoms."""
        draft = self._fitting(others, given)
        atoms = Atoms.of(x, values, draft.unbounded(others)[0], draft.unbounded(values)[0])
        u, _ = atoms.open(*draft.unbounded(x), x, rng)
        deviation = u.std(axis=0)
        deviation = np.where(self.varies & (deviation > 0), deviation, 1.0)
        return replace(draft, mean=u.mean(axis=0), deviation=deviation, atoms=atoms)

    def _fitting(self, x: Array, given: NDArray[Any] | None) -> Units:
        """With the map of each column that a Gaussian fits best, but the usual one if it is hardly worse."""
        between, chosen = self.kind == BETWEEN, self
        others = [replace(self, kind=np.where(self.kind == PLAIN, ASINH, self.kind))]
        for bend in BENDS if between.any() else ():
            reach = np.where(between, bend * (self.high - self.low), self.reach)
            others.append(replace(self, kind=np.where(between, CLIPPED, self.kind), reach=reach))
        best = gaussian_fit(*self.unbounded(x), given) + np.where(between, WORTH_CLIPPING, WORTH_DRAWING_IN)
        for other in others:
            fit = gaussian_fit(*other.unbounded(x), given)
            kind = np.where(fit > best, other.kind, chosen.kind)
            reach = np.where(fit > best, other.reach, chosen.reach)
            chosen, best = replace(chosen, kind=kind, reach=reach), np.maximum(fit, best)
        return chosen

    @property
    def columns(self) -> int:
        """How many columns vary: the width of v."""
        return int(self.varies.sum())

    def to_flow(self, x: NDArray[Any], rng: np.random.Generator | None = None) -> tuple[NDArray[np.float32], Array]:
        """``v``, ``(n, columns)``, and ``log|dv/dx|``, ``(n,)``: -inf where the density is 0.

        With an rng, for training, ties are taken away by noise.
        """
        x = np.asarray(x, np.float64)
        x = x if rng is None else self.noisy(x, rng)
        u, log_slope = self.atoms.open(*self.unbounded(x), x, rng)
        v = ((u - self.mean) / self.deviation)[:, self.varies].astype(np.float32)
        total = (log_slope - np.log(self.deviation))[:, self.varies].sum(axis=1)
        outside = ((x < self.low) | (x > self.high)).any(axis=1)
        other = abs(x - self.constant) > ALIKE * np.maximum(abs(x), abs(self.constant))
        return v, np.where(outside | other[:, ~self.varies].any(axis=1), -np.inf, total)

    def from_flow(self, v: NDArray[Any], *, snap: bool = True) -> Array:
        """``x``, ``(n, p)``, from v; discrete columns on their lattice if ``snap``."""
        full = np.zeros((len(v), len(self.varies)))
        full[:, self.varies] = v
        u, atom = self.atoms.close(full * self.deviation + self.mean)
        x = u.copy()
        for kind, back in BACK.items():
            which = self.kind == kind
            if which.any():
                x[:, which] = back(
                    u[:, which], *(each[which] for each in (self.low, self.high, self.centre, self.reach))
                )
        if snap:
            on = ~np.isnan(self.origin)
            steps = np.round((x[:, on] - self.origin[on]) / self.width[on])
            x[:, on] = self.origin[on] + self.width[on] * steps
        x = np.where(np.isnan(atom), x, atom)
        # A sample may round to the bound itself, or beyond it.
        x = np.where(np.isnan(self.least), x, np.maximum(x, self.least))
        x = np.where(np.isnan(self.most), x, np.minimum(x, self.most))
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
        return {name: _listed(each) for name, each in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Units:
        """What ``to_json`` gave."""
        dtypes = {"kind": np.int64, "varies": np.bool_}
        atoms = Atoms(**{name: np.array(each, np.float64) for name, each in content["atoms"].items()})
        own: dict[str, Any] = {
            name: np.array(each, dtypes.get(name, np.float64)) for name, each in content.items() if name != "atoms"
        }
        return cls(atoms=atoms, **own)

    def unbounded(self, x: Array) -> tuple[Array, Array]:
        """``u`` and ``log du/dx`` by column, ``(n, p)`` each."""
        u, log_slope = x.copy(), np.zeros_like(x)
        for kind, forth in FORTH.items():
            which = self.kind == kind
            if which.any():
                given = (each[which] for each in (self.low, self.high, self.centre, self.reach))
                u[:, which], log_slope[:, which] = forth(x[:, which], *given)
        return u, log_slope


def some_of(x: Rows, seed: int) -> Array:
    """The rows, or as many as scales are taken from."""
    if len(x) <= MOST:
        return np.asarray(x[:], np.float64)
    rows = np.sort(np.random.default_rng(seed).choice(len(x), MOST, replace=False))
    return np.asarray(x[rows], np.float64)


def _middle(x: Array) -> tuple[Array, Array]:
    """Median of each column, and how far from it is usual, positive."""
    centre = np.median(x, axis=0)
    reach = np.median(abs(x - centre), axis=0)
    reach = np.where(reach > 0, reach, x.std(axis=0))
    return centre, np.where(reach > 0, reach, 1.0)


def _listed(values: Any) -> Any:
    """Lists of arrays, by name if they have names, with None for NaN."""
    if isinstance(values, dict):
        return {name: _listed(each) for name, each in values.items()}
    if isinstance(values, np.ndarray | list):
        return [_listed(each) for each in np.asarray(values).tolist()]
    return None if isinstance(values, float) and math.isnan(values) else values
