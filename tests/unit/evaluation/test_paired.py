from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flow_models.evaluation.paired import paired_difference


def test_the_interval_is_that_of_students_t_where_there_are_many_pairs() -> None:
    rng = np.random.default_rng(0)
    old = rng.normal(4.0, 1.0, 1000)
    new = old + rng.normal(0.1, 0.2, 1000)
    found = paired_difference(new, old)
    wanted = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert found.mean == pytest.approx((new - old).mean())
    assert found.number == 1000
    np.testing.assert_allclose([found.lower, found.upper], wanted, atol=1e-3)


def test_the_difficulty_of_examples_cancels() -> None:
    rng = np.random.default_rng(1)
    old = rng.normal(0.0, 1000.0, 50)
    found = paired_difference(old + rng.normal(0.0, 0.01, 50), old)
    assert found.upper - found.lower < 0.01


def test_a_model_against_itself_differs_by_nothing() -> None:
    losses = np.random.default_rng(2).normal(size=30)
    found = paired_difference(losses, losses)
    assert (found.mean, found.lower, found.upper) == (0.0, 0.0, 0.0)


def test_the_truth_lies_above_the_interval_as_seldom_as_promised() -> None:
    rng = np.random.default_rng(3)
    uppers = [paired_difference(rng.normal(0.2, 1.0, 60), np.zeros(60), seed=seed).upper for seed in range(400)]
    assert np.mean(np.array(uppers) < 0.2) < 0.05  # 2.5 % in the long run


@pytest.mark.parametrize(
    ("new", "old", "message"),
    [([1.0, 2.0], [1.0], "two or more pairs"), ([1.0], [1.0], "pairs"), ([1.0, np.inf], [1.0, 1.0], "pair 1")],
)
def test_what_are_no_finite_pairs_is_refused(new: list[float], old: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(new, old)
