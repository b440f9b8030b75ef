from __future__ import annotations

import math

import pytest

from flow_models.registry.gate import Decision, gate, within_bounds
from flow_models.settings import Bound

BOUNDS = {"bits_per_dim": Bound(max=4.0), "auroc.ball.likelihood": Bound(min=0.9, max=1.0)}
GOOD = {"bits_per_dim": 3.5, "auroc.ball.likelihood": 0.95}


def failures(
    metrics: dict[str, float], champion: dict[str, float] | None = None, *, max_regression: float = 0.05
) -> list[str]:
    decision = gate(metrics, BOUNDS, champion, max_regression=max_regression)
    failed = [reason for reason in decision.reasons if reason.startswith("failed: ")]
    assert decision.passed == (not failed)
    return failed


def test_metrics_within_their_bounds_pass_and_every_check_is_told() -> None:
    decision = gate(GOOD, BOUNDS, None, max_regression=0.05)
    assert decision.passed
    assert decision.reasons == [
        "passed: bits_per_dim 3.5, wanted at most 4",
        "passed: auroc.ball.likelihood 0.95, wanted at least 0.9",
        "passed: auroc.ball.likelihood 0.95, wanted at most 1",
        "passed: no champion measured on the same images to compare with",
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bits_per_dim": 4.1}, "failed: bits_per_dim 4.1, wanted at most 4"),
        ({"auroc.ball.likelihood": 0.5}, "failed: auroc.ball.likelihood 0.5, wanted at least 0.9"),
        ({"bits_per_dim": math.nan}, "failed: bits_per_dim is not a number"),
        ({"bits_per_dim": math.inf}, "failed: bits_per_dim inf, wanted at most 4"),
    ],
)
def test_a_metric_out_of_its_bound_fails_with_the_reason(change: dict[str, float], reason: str) -> None:
    assert failures({**GOOD, **change}) == [reason]


def test_a_metric_that_was_not_measured_fails() -> None:
    assert failures({"bits_per_dim": 3.5}) == ["failed: auroc.ball.likelihood was not measured"]


def test_a_value_on_its_bound_passes() -> None:
    assert not failures({**GOOD, "bits_per_dim": 4.0})


def test_slightly_worse_than_the_champion_passes_and_more_fails() -> None:
    assert not failures(GOOD, {"bits_per_dim": 3.46})
    assert len(failures(GOOD, {"bits_per_dim": 3.4})) == 1


@pytest.mark.parametrize("champion", [{"bits_per_dim": math.nan}, {}])
def test_a_champion_whose_likelihood_is_unknown_is_not_beaten_silently(champion: dict[str, float]) -> None:
    assert len(failures(GOOD, champion)) == 1


def test_bounds_alone_say_nothing_of_a_champion() -> None:
    decision = within_bounds({"bits_per_dim": 3.0}, {"bits_per_dim": Bound(max=4.0)})
    assert decision == Decision(passed=True, reasons=["passed: bits_per_dim 3, wanted at most 4"])
