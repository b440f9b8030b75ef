from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from flow_models.registry.gate import Opponent, Trial, gate, within_bounds
from flow_models.settings import Bound, RegisterSettings

BOUNDS = {"bits_per_dim": Bound(max=4.0), "auroc.ball.likelihood": Bound(min=0.9, max=1.0)}
GOOD = {"bits_per_dim": 3.5, "auroc.ball.likelihood": 0.95}
LOSSES = np.random.default_rng(0).normal(3.5, 0.5, 200)
ALONE = Trial(digest="abc", unit="bits/dim", losses=LOSSES, inversion_error=1e-6)


def worse_by(amount: float, *, noise: float = 0.01) -> Trial:
    """A challenger that is worse than the champion, version 3, by exactly this on average."""
    spread = np.random.default_rng(1).normal(0, noise, len(LOSSES))
    return replace(ALONE, champion=Opponent(version=3, losses=LOSSES - amount + spread - spread.mean()))


def failures(trial: Trial, metrics: dict[str, float] = GOOD, *, max_regression: float = 0.05) -> list[str]:
    decision = gate(metrics, trial, RegisterSettings(gate=BOUNDS, max_regression=max_regression))
    failed = [reason.removeprefix("failed: ") for reason in decision.reasons if reason.startswith("failed: ")]
    assert decision.passed == (not failed)
    return failed


def test_the_first_version_passes_within_its_bounds_and_every_check_is_told() -> None:
    decision = gate(GOOD, ALONE, RegisterSettings(gate=BOUNDS))
    assert decision.passed
    assert decision.reasons == [
        "passed: bits_per_dim 3.5, wanted at most 4",
        "passed: auroc.ball.likelihood 0.95, wanted at least 0.9",
        "passed: auroc.ball.likelihood 0.95, wanted at most 1",
        "passed: 200 of 200 frozen examples have a finite score",
        "passed: inversion error 1e-06 of the range, wanted at most 0.002",
        "passed: no champion to compare with",
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bits_per_dim": 4.1}, "bits_per_dim 4.1, wanted at most 4"),
        ({"auroc.ball.likelihood": 0.5}, "auroc.ball.likelihood 0.5, wanted at least 0.9"),
        ({"bits_per_dim": math.nan}, "bits_per_dim is not a number"),
        ({"bits_per_dim": math.inf}, "bits_per_dim inf, wanted at most 4"),
    ],
)
def test_a_metric_out_of_its_bound_fails_with_the_reason(change: dict[str, float], reason: str) -> None:
    assert failures(ALONE, {**GOOD, **change}) == [reason]


def test_a_metric_that_was_not_measured_fails() -> None:
    assert failures(ALONE, {"bits_per_dim": 3.5}) == ["auroc.ball.likelihood was not measured"]


def test_a_value_on_its_bound_passes() -> None:
    assert not failures(ALONE, {**GOOD, "bits_per_dim": 4.0})


def test_slightly_worse_than_the_champion_passes_and_more_fails_with_the_numbers() -> None:
    assert not failures(worse_by(0.04))
    (reason,) = failures(worse_by(0.06))
    assert reason.startswith("+0.06")
    assert "against the champion, version 3, 95% interval +0.05" in reason
    assert reason.endswith("on 200 frozen examples; may be worse by at most 0.05")


def test_what_may_be_worse_for_all_that_can_be_known_fails() -> None:
    assert len(failures(worse_by(0.04, noise=0.5))) == 1
    assert not failures(worse_by(0.04, noise=0.5), max_regression=0.2)


def test_the_decision_keeps_the_numbers_and_what_they_were_measured_on() -> None:
    decision = gate(GOOD, worse_by(0.01), RegisterSettings()).to_json()
    assert (decision["passed"], decision["champion"], decision["data"], decision["unit"]) == (
        True,
        3,
        "abc",
        "bits/dim",
    )
    assert decision["difference"]["number"] == 200
    assert [check["name"] for check in decision["checks"]] == ["finite scores", "invertible", "same inputs", "no worse"]


def test_a_champion_that_cannot_be_scored_is_not_beaten() -> None:
    trial = replace(ALONE, champion=Opponent(version=3, why_not="its weights are gone"))
    (reason,) = failures(trial)
    assert reason.startswith("the champion, version 3, cannot be compared with: its weights are gone; ")


def test_a_champion_without_finite_scores_is_beaten_by_a_version_that_has_them() -> None:
    broken = np.where(np.arange(200) == 7, np.inf, LOSSES)
    assert not failures(replace(ALONE, champion=Opponent(version=3, losses=broken)))
    both = replace(ALONE, losses=broken, champion=Opponent(version=3, losses=broken))
    assert failures(both) == [
        "199 of 200 frozen examples have a finite score",
        "not every frozen example has a score to compare with the champion, version 3",
    ]


def test_a_flow_that_does_not_invert_fails() -> None:
    assert failures(replace(ALONE, inversion_error=0.003)) == [
        "inversion error 0.003 of the range, wanted at most 0.002"
    ]
    assert failures(replace(ALONE, inversion_error=math.nan))


def test_other_inputs_than_the_champions_are_for_a_person_to_decide() -> None:
    opponent = Opponent(version=3, losses=LOSSES, other_inputs="uint8 (-1, 8, 8, 1), but …")
    (reason,) = failures(replace(ALONE, champion=opponent))
    assert reason.startswith("inputs: uint8 (-1, 8, 8, 1), but …; `flow-models promote --reason …`")


def test_one_example_is_too_few_to_compare_on() -> None:
    trial = replace(ALONE, losses=LOSSES[:1], champion=Opponent(version=3, losses=LOSSES[:1]))
    assert failures(trial) == ["too few frozen examples to compare with the champion, version 3: 1"]


def test_bounds_alone_say_nothing_of_a_champion() -> None:
    decision = within_bounds({"bits_per_dim": 3.0}, {"bits_per_dim": Bound(max=4.0)})
    assert (decision.passed, decision.reasons) == (True, ["passed: bits_per_dim 3, wanted at most 4"])


def test_examples_that_the_champion_learned_from_are_left_out_and_told() -> None:
    learned = np.arange(len(LOSSES)) < 50
    champion = worse_by(0.0).champion
    assert champion is not None
    better_by_heart = replace(champion, losses=np.where(learned, 0.0, champion.losses), learned=learned)
    decision = gate(GOOD, replace(ALONE, champion=better_by_heart), RegisterSettings(gate=BOUNDS, max_regression=0.05))
    assert decision.passed
    assert "on 150 frozen examples, 50 that it learned from left out; may be worse" in decision.reasons[-1]
    assert failures(replace(ALONE, champion=replace(better_by_heart, learned=None)))
    (few,) = failures(replace(ALONE, champion=replace(better_by_heart, learned=np.ones(len(LOSSES), bool))))
    assert few.startswith("too few frozen examples to compare with the champion, version 3: 0, 200 that it learned")


@pytest.mark.parametrize(("judged_on", "same"), [("abc", "those"), ("def", "not those")])
def test_other_examples_than_the_champion_was_judged_on_are_told(judged_on: str, same: str) -> None:
    champion = worse_by(0.0).champion
    assert champion is not None
    reasons = gate(GOOD, replace(ALONE, champion=replace(champion, judged_on=judged_on)), RegisterSettings()).reasons
    assert f"passed: the frozen examples are {same} that the champion, version 3, was judged on" in reasons
