"""The gate: may a version become champion? Numbers in, a decision with its reasons out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flow_models.settings import Bound

# By which a version is compared with the champion: of images, and of vectors in nats.
LIKELIHOODS = ("bits_per_dim", "negative_log_likelihood")


@dataclass(frozen=True)
class Decision:
    """Whether every check passed, and one line a check that says what was compared with what."""

    passed: bool
    reasons: list[str]


def gate(
    metrics: Mapping[str, float],
    bounds: Mapping[str, Bound],
    champion: Mapping[str, float] | None,
    *,
    max_regression: float,
) -> Decision:
    """Check a version against the bounds, and against the champion.

    Args:
        metrics: of the version, by flat name (``auroc.photograph.likelihood``).
        bounds: what each named metric must satisfy. One that was not measured, or is not a number, fails.
        champion: the champion's metrics on the same images; None when there is none to compare with.
        max_regression: bits/dim, or nats for vectors, by which the version may be worse than the champion.
    """
    return _decision([*_against_bounds(metrics, bounds), _against_champion(metrics, champion, max_regression)])


def within_bounds(metrics: Mapping[str, float], bounds: Mapping[str, Bound]) -> Decision:
    """The part of the gate that needs no registry: whether each named metric satisfies its bound."""
    return _decision(list(_against_bounds(metrics, bounds)))


def _decision(checks: Sequence[tuple[bool, str]]) -> Decision:
    return Decision(
        passed=all(passed for passed, _ in checks),
        reasons=[f"{'passed' if passed else 'failed'}: {reason}" for passed, reason in checks],
    )


def _against_bounds(metrics: Mapping[str, float], bounds: Mapping[str, Bound]) -> Iterator[tuple[bool, str]]:
    for name, bound in bounds.items():
        yield from _against_bound(name, metrics.get(name), bound)


def _against_bound(name: str, value: float | None, bound: Bound) -> Iterator[tuple[bool, str]]:
    if value is None or math.isnan(value):
        yield False, f"{name} {'was not measured' if value is None else 'is not a number'}"
        return
    if bound.min is not None:
        yield value >= bound.min, f"{name} {value:.4g}, wanted at least {bound.min:g}"
    if bound.max is not None:
        yield value <= bound.max, f"{name} {value:.4g}, wanted at most {bound.max:g}"


def _against_champion(
    metrics: Mapping[str, float], champion: Mapping[str, float] | None, max_regression: float
) -> tuple[bool, str]:
    if champion is None:
        return True, "no champion measured on the same images to compare with"
    name = next((each for each in LIKELIHOODS if each in metrics), LIKELIHOODS[0])
    new, old = metrics.get(name, math.nan), champion.get(name, math.nan)
    # Written so that a NaN on either side fails.
    passed = new - old <= max_regression
    return passed, f"{name} {new:.4g}, the champion's {old:.4g}, may be worse by at most {max_regression:g}"
