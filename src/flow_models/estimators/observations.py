"""What was observed, as the context of a flow: vectors, sets of vectors, short series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flow_models.estimators.base import varying
from flow_models.estimators.rows import parts
from flow_models.estimators.units import Units, some_of
from flow_models.evaluation.novelty import Seen

Kind = Literal["vector", "set", "series"]
KINDS: tuple[Kind, ...] = ("vector", "set", "series")
SUMMARY = 16  # numbers that a network makes of a set or a series for the couplings to read


@dataclass(frozen=True, kw_only=True)
class Observations:
    """How observations become the context of a flow.

    The elements of a set or a series have one scale, whichever comes first.

    Attributes:
        kind: "vector", ``(m,)``; "set" or "series", ``(k, m)``, or ``(k,)`` if an element is one number.
        shape: of one observation.
        units: of its columns.
        seen: what there was in training; of a set, of its moments.
    """

    kind: Kind
    shape: tuple[int, ...]
    units: Units
    seen: Seen

    @classmethod
    def of(cls, observed: NDArray[Any], kind: Kind, *, seed: int) -> Observations:
        """From observations ``(n, *shape)``.

        Raises:
            ValueError: if nothing in them varies.
        """
        shape = tuple(observed.shape[1:])
        rows = observed.reshape(-1, 1 if kind != "vector" and len(shape) == 1 else shape[-1])
        units = Units.of(rows, None, seed=seed, ties=False)
        varying(units)
        seen = Seen.of(_looked_at(some_of(observed, seed), kind))
        furthest = max(seen.distance(_looked_at(each, kind)).max() for each in parts(observed))
        return cls(kind=kind, shape=shape, units=units, seen=replace(seen, reach=seen.reach * max(1.0, furthest)))

    @property
    def elements(self) -> int:
        """Of a set or a series; 1 for a vector."""
        return 1 if self.kind == "vector" else self.shape[0]

    @property
    def width(self) -> int:
        """Of the context."""
        return self.elements * self.units.columns

    @property
    def options(self) -> dict[str, Any]:
        """Of the architecture that reads them."""
        if self.kind == "vector":
            return {"context_width": self.width}
        order = self.kind == "series"
        return {
            "context_width": self.width,
            "context_elements": self.elements,
            "context_order": order,
            "context_features": SUMMARY,
        }

    def context(self, observed: NDArray[Any]) -> NDArray[np.float32]:
        """``(n, width)``."""
        rows = observed.reshape(-1, len(self.units.varies))
        return self.units.to_flow(rows)[0].reshape(len(observed), self.width)

    def middle(self, number: int) -> NDArray[np.float64]:
        """As many observations, ``(number, *shape)``, in the middle of those seen in training."""
        rows = self.units.from_flow(np.zeros((number * self.elements, self.units.columns)))
        return rows.reshape(number, *self.shape)

    def columns(self, observed: NDArray[Any]) -> NDArray[Any]:
        """With the columns last, ``(..., m)``, of a set or a series after the elements."""
        return observed[..., None] if self.kind != "vector" and len(self.shape) == 1 else observed

    def warnings(self, observed: NDArray[Any], names: Sequence[str]) -> list[str]:
        """One line for each observation that lies outside of all that was seen."""
        many = {"set": [f"{moment} of {name}" for moment in ("mean", "deviation") for name in names]}
        many["series"] = [f"{name} at {index}" for index in range(self.elements) for name in names]
        return self.seen.warnings(_looked_at(observed, self.kind), many.get(self.kind, list(names)))

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        units, seen = self.units.to_json(), self.seen.to_json()
        return {"kind": self.kind, "shape": list(self.shape), "units": units, "seen": seen}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Observations:
        """What ``to_json`` gave."""
        return cls(
            kind=content["kind"],
            shape=tuple(content["shape"]),
            units=Units.from_json(content["units"]),
            seen=Seen.from_json(content["seen"]),
        )


def _looked_at(observed: NDArray[Any], kind: Kind) -> NDArray[np.float64]:
    """Numbers by which an observation is told from those of training, ``(n, ...)``; for a set whatever its order."""
    if kind != "set":
        return observed.reshape(len(observed), -1).astype(np.float64)
    rows = observed.reshape(*observed.shape[:2], -1).astype(np.float64)
    return np.hstack([rows.mean(axis=1), rows.std(axis=1)])
