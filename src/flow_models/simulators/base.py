"""What a simulator is, and how a table of its draws is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flow_models.errors import FlowModelsError

Array: TypeAlias = NDArray[np.floating[Any]]
Bounds: TypeAlias = tuple[float | None, float | None]
MOST_ROUNDS = 20


class Simulator(Protocol):
    """A prior over parameters x and a forward model from x to observations y.

    Both methods are pure functions of their arguments: the same generator state gives the same rows.
    """

    @property
    def name(self) -> str:
        """Of the problem, in words."""

    @property
    def parameters(self) -> Sequence[str]:
        """The columns of x, with their units, such as ``velocity_1 (km/s)``."""

    @property
    def observations(self) -> Sequence[str]:
        """The columns of y, with their units."""

    @property
    def support(self) -> Sequence[Bounds] | None:
        """Lowest and highest value of each parameter; ``None`` stands for no bound, or for none at all."""

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        """Parameters, ``(number, p)``."""

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        """Observations ``(n, m)`` of parameters ``(n, p)``, with their noise if there is any."""


@dataclass(frozen=True, kw_only=True)
class Simulations:
    """Draws of a simulator, row by row.

    Attributes:
        x: parameters, ``(n, p)``.
        y: observations, ``(n, m)``.
        redrawn: how many draws failed and were replaced by fresh ones from the prior.
    """

    x: Array
    y: Array
    redrawn: int


def simulate_table(
    simulator: Simulator, number: int, *, seed: int, epoch: int = 0, tolerated_failures: float = 0.0
) -> Simulations:
    """Draw from the prior and simulate, reproducibly.

    Args:
        simulator: what to draw from.
        number: rows.
        seed: the same seed and epoch give the same rows.
        epoch: another one gives fresh rows, such as for each epoch of a training.
        tolerated_failures: the largest share of draws whose observation may be non-finite. They are drawn
            again, which restricts the prior to what the simulator can do. None are tolerated by default.

    Raises:
        FlowModelsError: if more draws fail than are tolerated.
    """
    rng = np.random.default_rng([seed, epoch])
    x = simulator.draw_prior(number, rng)
    y = simulator.simulate(x, rng)
    redrawn = 0
    for _ in range(MOST_ROUNDS):
        failed = ~np.isfinite(y).all(axis=1)
        redrawn += int(failed.sum())
        if not failed.any() or redrawn > tolerated_failures * number:
            break
        x[failed] = simulator.draw_prior(int(failed.sum()), rng)
        y[failed] = simulator.simulate(x[failed], rng)
    check_simulation(simulator, x, y)
    return Simulations(x=x, y=y, redrawn=redrawn)


def check_simulation(simulator: Simulator, x: Array, y: Array) -> None:
    """Refuse rows that do not fit the simulator's columns, or are not finite.

    Raises:
        FlowModelsError: it names how many rows are wrong, the first of them and its parameters.
    """
    for part, columns, values in (("x", simulator.parameters, x), ("y", simulator.observations, y)):
        if values.shape != (len(x), len(columns)):
            raise FlowModelsError(
                f"{simulator.name}: {part} has shape {values.shape}, not {(len(x), len(columns))}, one column for "
                f"each of {', '.join(columns)}; correct the simulator"
            )
    failed = np.flatnonzero(~(np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)))
    if failed.size:
        row = failed[0]
        at = ", ".join(f"{name} = {value:.6g}" for name, value in zip(simulator.parameters, x[row], strict=True))
        raise FlowModelsError(
            f"{simulator.name}: {failed.size} of {len(x)} simulations are not finite, the first in row {row} ({at}); "
            "correct the simulator, narrow its prior, or tolerate that share of failures"
        )
