"""Run anyone's simulator over draws from a prior, in parallel processes, and leave out what failed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from tqdm import tqdm

Array = NDArray[np.float64]
Simulate = Callable[[Any, np.random.Generator], Any]
DrawPrior = Callable[[int, np.random.Generator], Any]

CHUNKS = 256  # of the simulations, whatever the processes: a seed gives the same ones on every machine
FEWEST = 2  # simulations: of one nothing can be learned
MOST_KILLED = 10  # processes, after which there is no use in going on
KILLED = "its process was killed, as it is when memory is short or compiled code crashes"


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Parameters and what was observed of them.

    Attributes:
        parameters: ``(n, p)``.
        observations: ``(n, m)``; of sets and series ``(n, k, m)``.
        failed: how many more there were that raised an error or whose process was killed, twice.
        nonfinite: how many more had a value that is not finite.
        error: of the first that failed; None if none did.
    """

    parameters: Array
    observations: Array
    failed: int
    nonfinite: int
    error: str | None = None

    @classmethod
    def of(cls, parameters: Array, observations: Array, errors: Sequence[str] = ()) -> Simulated:
        """Without the rows that are not finite, of which as many failed as there are errors.

        Raises:
            ValueError: if fewer than two are left.
        """
        number = len(parameters)
        good = np.isfinite(observations.reshape(number, -1)).all(axis=1) & np.isfinite(parameters).all(axis=1)
        simulated = cls(
            parameters=parameters[good],
            observations=observations[good],
            failed=len(errors),
            nonfinite=int((~good).sum()) - len(errors),
            error=next(iter(errors), None),
        )
        if good.sum() < FEWEST:
            raise ValueError(f"{simulated.losses}; fewer than {FEWEST} are left to learn from")
        return simulated

    @property
    def losses(self) -> str:
        """What was left out, in words."""
        lost = self.failed + self.nonfinite
        why = [f"{self.failed} failed ({self.error})"] if self.failed else []
        why += [f"{self.nonfinite} gave values that are not finite"] if self.nonfinite else []
        return f"{lost} of {lost + len(self.parameters)} simulations are left out: {' and '.join(why)}"


def simulate_pairs(
    simulate: Simulate, draw_prior: DrawPrior, number: int, *, seed: int, n_jobs: int | None = None
) -> Simulated:
    """Draw ``number`` parameters and simulate each; the same for the same seed, whatever the processes.

    Simulations that raise an error, or whose process is killed, run once more, each alone: what failed for a passing
    reason, or because of another, is not lost. A value that is not finite is an answer, and is left out without asking
    again, for asking until it is finite would change what is learned.

    Args:
        simulate: ``simulate(parameters, rng)`` gives observations ``(n, m)`` of parameters ``(n, p)``.
        draw_prior: ``draw_prior(number, rng)`` gives parameters ``(number, p)``.
        number: simulations.
        seed: of all random numbers.
        n_jobs: processes, as joblib counts them; None for this one alone.

    Raises:
        ValueError: if fewer than two simulations are left, or process after process is killed.
    """
    parameters = _table(draw_prior(number, np.random.default_rng(seed)))
    chunks = [
        _Chunk(simulate, each, [seed, index])
        for index, each in enumerate(np.array_split(parameters, min(number, CHUNKS)))
    ]
    rows, errors = [], []
    with tqdm(total=number, desc="simulate", unit=" simulations", disable=None) as bar:
        for chunk, (observed, failures) in zip(chunks, _answers(chunks, n_jobs), strict=True):
            rows.append(observed)
            errors += failures
            bar.update(len(chunk.parameters))
    return Simulated.of(parameters, _joined(rows), errors)


def tell_of_losses(simulated: Simulated) -> None:
    """Warn of simulations that were left out, for the posterior is then of a prior without them."""
    if simulated.failed or simulated.nonfinite:
        warnings.warn(
            f"{simulated.losses}; the posterior is that of the prior restricted to what the simulator can do",
            stacklevel=3,
        )


Answer = tuple[Array, list[str]]  # observations, NaN where a simulation failed; and an error of each that did


@dataclass(frozen=True)
class _Chunk:
    """Some simulations, to be run at once."""

    simulate: Simulate
    parameters: Array
    seed: list[int]

    def run(self) -> Answer:
        try:
            return self._observed(), []
        except Exception:  # noqa: BLE001 - whatever a simulator raises
            return _together([each.run_again() for each in self.each()])

    def run_again(self) -> Answer:
        try:
            return self._observed(), []
        except Exception as error:  # noqa: BLE001 - whatever a simulator raises
            return self.lost(f"{type(error).__name__}: {error}")

    def each(self) -> list[_Chunk]:
        return [_Chunk(self.simulate, row[None], [*self.seed, index]) for index, row in enumerate(self.parameters)]

    def lost(self, why: str) -> Answer:
        return np.full((len(self.parameters), 0), np.nan), [why] * len(self.parameters)

    def _observed(self) -> Array:
        observed = _table(self.simulate(self.parameters, np.random.default_rng(self.seed)))
        if len(observed) != len(self.parameters):
            raise ValueError(f"simulate gave {len(observed)} rows for {len(self.parameters)}")
        return observed


def _answers(chunks: Sequence[_Chunk], n_jobs: int | None) -> Iterator[Answer]:
    """Of each chunk in its turn; when a process is killed, of those that may have done it each alone."""
    done, killed = 0, 0
    while done < len(chunks):
        try:
            for answer in Parallel(n_jobs=n_jobs, return_as="generator")(delayed(each.run)() for each in chunks[done:]):
                done += 1
                yield answer
        except BrokenProcessPool:
            for suspect in chunks[done : done + 2 * effective_n_jobs(n_jobs)]:
                answer = _apart(suspect)
                done += 1
                killed += answer[1].count(KILLED)
                if killed >= MOST_KILLED:
                    raise ValueError(f"{killed} simulations failed: {KILLED}; try fewer processes (n_jobs)") from None
                yield answer


def _apart(chunk: _Chunk) -> Answer:
    """The answer of a chunk in a process of its own; if that is killed, of each simulation in one of its own."""
    try:
        (answer,) = Parallel(n_jobs=2)([delayed(chunk.run)()])  # with n_jobs=1 it would be this process
    except BrokenProcessPool:
        if len(chunk.parameters) == 1:
            return chunk.lost(KILLED)
        return _together([_apart(each) for each in chunk.each()])
    return answer


def _together(answers: Sequence[Answer]) -> Answer:
    return _joined([rows for rows, _ in answers]), [error for _, errors in answers for error in errors]


def _joined(parts: Sequence[Array]) -> Array:
    """One array; of parts that failed altogether NaN in the shape of the others, or as one column if all did."""
    shape = max((part.shape[1:] for part in parts), key=math.prod)
    shape = shape if math.prod(shape) else (1,)
    return np.concatenate([part if part.shape[1:] == shape else np.full((len(part), *shape), np.nan) for part in parts])


def _table(values: Any) -> Array:
    table = np.asarray(values, np.float64)
    return table[:, None] if table.ndim == 1 else table
