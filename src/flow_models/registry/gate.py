"""The gate: may a version become champion? What was measured in, a decision with its reasons out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_models.evaluation.paired import LEVEL, Difference, paired_difference
from flow_models.settings import Bound, RegisterSettings

# By which versions are told apart at a glance: of images, and of vectors in nats.
LIKELIHOODS = ("bits_per_dim", "negative_log_likelihood")
_BY_HAND = "`flow-models promote --reason …` is for a person who knows better"


@dataclass(frozen=True)
class Check:
    """One thing that a version must satisfy, and what was found."""

    name: str
    passed: bool
    found: str

    @property
    def reason(self) -> str:
        """As one line."""
        return f"{'passed' if self.passed else 'failed'}: {self.found}"


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """The champion on the challenger's frozen set.

    Attributes:
        version: its number.
        losses: of each example, ``(n,)``; None if it could not be scored.
        why_not: if so, in one line.
        other_inputs: what both are called with, if that differs; otherwise empty.
        learned: which of the examples it was trained on, ``(n,)``; None if that is not known.
        judged_on: the digest of the frozen set on which it was judged itself; empty if it was not.
    """

    version: int
    losses: NDArray[np.float64] | None = None
    why_not: str = ""
    other_inputs: str = ""
    learned: NDArray[np.bool_] | None = None
    judged_on: str = ""

    @property
    def fresh(self) -> NDArray[np.bool_] | slice:
        """The examples on which it can be compared with."""
        return slice(None) if self.learned is None else ~self.learned


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was measured of a challenger, and of the champion beside it.

    Attributes:
        digest: of the frozen set.
        unit: of the losses.
        losses: of each example, ``(n,)``.
        inversion_error: see ``FrozenSet``.
        champion: None if there is none.
    """

    digest: str
    unit: str
    losses: NDArray[np.float64]
    inversion_error: float
    champion: Opponent | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether every check passed, and by which numbers.

    Attributes:
        checks: in the order in which they were made.
        data: the digest of the frozen set; empty if none was needed.
        unit: of the difference.
        champion: the number of the version compared with.
        difference: by which the challenger is worse.
    """

    checks: Sequence[Check]
    data: str = ""
    unit: str = ""
    champion: int | None = None
    difference: Difference | None = None

    @property
    def passed(self) -> bool:
        """All of them."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """One line a check."""
        return [check.reason for check in self.checks]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {**asdict(self), "passed": self.passed}


def gate(metrics: Mapping[str, float], trial: Trial, wanted: RegisterSettings) -> Decision:
    """Check a version against the bounds, and against the champion on the same examples.

    A champion that cannot be scored is not beaten: then the version fails, and a person decides. A champion whose
    own scores are not finite is, by any version that has finite ones.

    Args:
        metrics: of the version, by flat name (``auroc.photograph.likelihood``).
        trial: what was measured on the frozen set.
        wanted: bounds on the metrics (one that was not measured, or is not a number, fails), on the error of the
            inverse, and on how much worse than the champion the version may be, for all that can be known.
    """
    checks = [*_against_bounds(metrics, wanted.gate), _finite(trial), _invertible(trial, wanted.max_inversion_error)]
    champion, difference = trial.champion, None
    if champion is None:
        checks.append(Check("no worse", passed=True, found="no champion to compare with"))
    else:
        checks.append(_same_inputs(champion))
        if champion.judged_on:
            checks.append(_same_examples(trial, champion))
        difference = _difference(trial, champion)
        checks.append(_no_worse(trial, champion, difference, wanted.max_regression))
    return Decision(
        checks=checks,
        data=trial.digest,
        unit=trial.unit,
        champion=None if champion is None else champion.version,
        difference=difference,
    )


def within_bounds(metrics: Mapping[str, float], bounds: Mapping[str, Bound]) -> Decision:
    """The part of the gate that needs no registry: whether each named metric satisfies its bound."""
    return Decision(checks=list(_against_bounds(metrics, bounds)))


def _against_bounds(metrics: Mapping[str, float], bounds: Mapping[str, Bound]) -> Iterator[Check]:
    for name, bound in bounds.items():
        value = metrics.get(name)
        if value is None or math.isnan(value):
            yield Check(
                name, passed=False, found=f"{name} {'was not measured' if value is None else 'is not a number'}"
            )
            continue
        if bound.min is not None:
            yield Check(name, value >= bound.min, f"{name} {value:.4g}, wanted at least {bound.min:g}")
        if bound.max is not None:
            yield Check(name, value <= bound.max, f"{name} {value:.4g}, wanted at most {bound.max:g}")


def _finite(trial: Trial) -> Check:
    number, bad = len(trial.losses), _not_finite(trial.losses)
    return Check(
        "finite scores", passed=not bad, found=f"{number - bad} of {number} frozen examples have a finite score"
    )


def _invertible(trial: Trial, most: float) -> Check:
    error = trial.inversion_error
    return Check("invertible", error <= most, f"inversion error {error:.2g} of the range, wanted at most {most:g}")


def _same_inputs(champion: Opponent) -> Check:
    if not champion.other_inputs:
        return Check("same inputs", passed=True, found=f"inputs are those of the champion, version {champion.version}")
    return Check("same inputs", passed=False, found=f"inputs: {champion.other_inputs}; {_BY_HAND}")


def _same_examples(trial: Trial, champion: Opponent) -> Check:
    """Never fails: new images must be let in, but whoever reads the numbers must know that they are of others."""
    same = "those" if champion.judged_on == trial.digest else "not those"
    found = f"the frozen examples are {same} that the champion, version {champion.version}, was judged on"
    return Check("same examples", passed=True, found=found)


def _difference(trial: Trial, champion: Opponent) -> Difference | None:
    losses = trial.losses[champion.fresh]
    if champion.losses is None or len(losses) < 2:  # noqa: PLR2004
        return None
    if _not_finite(trial.losses) or _not_finite(champion.losses):
        return None
    return paired_difference(losses, champion.losses[champion.fresh])


def _no_worse(trial: Trial, champion: Opponent, difference: Difference | None, most: float) -> Check:
    name, who = "no worse", f"the champion, version {champion.version}"
    learned = 0 if champion.learned is None else int(champion.learned.sum())
    left_out = f", {learned} that it learned from left out" if learned else ""
    if difference is not None:
        found = (
            f"{difference.mean:+.4g} {trial.unit} against {who}, {LEVEL:.0%} interval {difference.lower:+.4g} to "
            f"{difference.upper:+.4g} on {difference.number} frozen examples{left_out}; "
            f"may be worse by at most {most:g}"
        )
        return Check(name, difference.upper <= most, found)
    if champion.losses is None:
        return Check(name, passed=False, found=f"{who}, cannot be compared with: {champion.why_not}; {_BY_HAND}")
    if _not_finite(trial.losses):
        return Check(name, passed=False, found=f"not every frozen example has a score to compare with {who}")
    if bad := _not_finite(champion.losses):
        return Check(name, passed=True, found=f"{who}, has no finite score on {bad} of {len(trial.losses)} examples")
    left = len(trial.losses) - learned
    return Check(name, passed=False, found=f"too few frozen examples to compare with {who}: {left}{left_out}")


def _not_finite(losses: NDArray[np.float64]) -> int:
    return int((~np.isfinite(losses)).sum())
