"""Run anyone's simulator over draws from a prior, in parallel processes, and leave out what failed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

Array = NDArray[np.float64]
Simulate = Callable[[Any, np.random.Generator], Any]
DrawPrior = Callable[[int, np.random.Generator], Any]

CHUNKS = 16  # a process, so that all are busy to the end and the bar moves


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Parameters and what was observed of them.

    Attributes:
        parameters: ``(n, p)``.
        observations: ``(n, m)``; of sets and series ``(n, k, m)``.
        failed: how many more there were that raised an error or gave a value that is not finite.
        example: what the first of these did; None if none failed.
    """

    parameters: Array
    observations: Array
    failed: int
    example: str | None = None


def simulate_pairs(
    simulate: Simulate, draw_prior: DrawPrior, number: int, *, seed: int, n_jobs: int | None = None
) -> Simulated:
    """Draw ``number`` parameters and simulate each; the same for the same seed and processes.

    Args:
        simulate: ``simulate(parameters, rng)`` gives observations ``(n, m)`` of parameters ``(n, p)``.
        draw_prior: ``draw_prior(number, rng)`` gives parameters ``(number, p)``.
        number: simulations.
        seed: of all random numbers.
        n_jobs: processes, as joblib counts them; None for this one alone.

    Raises:
        ValueError: if fewer than two simulations are left.
    """
    parameters = _table(draw_prior(number, np.random.default_rng(seed)))
    workers = 1 if n_jobs is None else max(1, abs(n_jobs))
    chunks = np.array_split(parameters, min(number, CHUNKS * workers))
    calls = (delayed(_simulate_chunk)(simulate, chunk, [seed, index]) for index, chunk in enumerate(chunks))
    done = []
    with tqdm(total=number, desc="simulate", unit=" simulations", disable=None) as bar:
        for each in Parallel(n_jobs=n_jobs, return_as="generator")(calls):
            done.append(each)
            bar.update(len(each[0]))
    observations = _joined([rows for _, rows, _ in done])
    good = np.isfinite(observations.reshape(number, -1)).all(axis=1) & np.isfinite(parameters).all(axis=1)
    failed = int((~good).sum())
    if number - failed < 2:  # noqa: PLR2004 - of one nothing can be learned
        reasons = [reason for *_, reason in done if reason]
        raise ValueError(f"{failed} of {number} simulations failed ({reasons[0] if reasons else 'not finite'})")
    example = next((reason for *_, reason in done if reason), "a value is not finite") if failed else None
    return Simulated(parameters=parameters[good], observations=observations[good], failed=failed, example=example)


def tell_of_failures(simulated: Simulated) -> None:
    """Warn of simulations that were left out, for the posterior is then of a prior without them."""
    if simulated.failed:
        number = simulated.failed + len(simulated.parameters)
        warnings.warn(
            f"{simulated.failed} of {number} simulations failed and are left out ({simulated.example}); the posterior "
            "is that of the prior restricted to what the simulator can do",
            stacklevel=3,
        )


def _simulate_chunk(simulate: Simulate, parameters: Array, seed: list[int]) -> tuple[Array, Array, str | None]:
    """Parameters, observations with NaN where a simulation failed, and the first error."""
    try:
        observed = _table(simulate(parameters, np.random.default_rng(seed)))
        if len(observed) == len(parameters):
            return parameters, observed, None
        reason = f"simulate gave {len(observed)} rows for {len(parameters)}"
    except Exception as error:  # noqa: BLE001 - whatever a simulator raises
        reason = f"{type(error).__name__}: {error}"
    if len(parameters) == 1:
        return parameters, np.full((1, 0), np.nan), reason
    # One of them failed: the others are worth having.
    rows = [_simulate_chunk(simulate, each[None], [*seed, index]) for index, each in enumerate(parameters)]
    return parameters, _joined([row for _, row, _ in rows]), next((why for *_, why in rows if why), reason)


def _joined(parts: list[Array]) -> Array:
    """One array; of parts that failed altogether NaN in the shape of the others."""
    shape = max((part.shape[1:] for part in parts), key=math.prod, default=(0,))
    return np.concatenate([part if part.shape[1:] == shape else np.full((len(part), *shape), np.nan) for part in parts])


def _table(values: Any) -> Array:
    table = np.asarray(values, np.float64)
    return table[:, None] if table.ndim == 1 else table
