import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from flow_models.evaluation.conformal import benjamini_hochberg, p_values, smallest_p_value

some_scores = st.lists(st.integers(-5, 5), min_size=1, max_size=12)
twentieths = st.integers(1, 19)  # of a grid on which p-values and the line meet


def test_p_values_count_the_inliers_that_are_at_least_as_outlying() -> None:
    np.testing.assert_allclose(p_values([3, 1, 2, 2], [0, 2, 2.5, 9]), [5 / 5, 4 / 5, 2 / 5, 1 / 5])


@settings(deadline=None)
@given(calibration=some_scores, scores=some_scores)
def test_p_values_are_the_formula(calibration: list[int], scores: list[int]) -> None:
    expected = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
    np.testing.assert_allclose(p_values(calibration, scores), expected)


@settings(deadline=None)
@given(calibration=some_scores, scores=some_scores)
def test_p_values_are_those_of_nonconform(calibration: list[int], scores: list[int]) -> None:
    nonconform = pytest.importorskip("nonconform", reason="nonconform needs Python 3.12")
    theirs = nonconform.Empirical().compute_p_values(np.array(scores), np.array(calibration))
    np.testing.assert_allclose(p_values(calibration, scores), theirs)


@settings(deadline=None)
@given(calibration=some_scores, scores=some_scores)
def test_p_values_see_nothing_but_order(calibration: list[int], scores: list[int]) -> None:
    np.testing.assert_array_equal(p_values(calibration, scores), p_values(np.exp(calibration), np.exp(scores)))


def test_infinite_scores_are_the_most_and_least_outlying() -> None:
    np.testing.assert_allclose(p_values([0, 1, 2], [np.inf, -np.inf]), [1 / 4, 1])


def test_no_score_gets_less_than_the_smallest_p_value() -> None:
    assert p_values(np.zeros(19), [1.0])[0] == smallest_p_value(19) == 0.05


@pytest.mark.parametrize("n", [19, 99, 250])
def test_false_alarms_come_at_the_level_over_calibration_sets(n: int) -> None:
    rng, repetitions, level = np.random.default_rng(n), 2000, 0.1
    alarms = sum(p_values(rng.normal(size=n), rng.normal(size=1))[0] <= level for _ in range(repetitions))
    low, high = binom.ppf([0.0005, 0.9995], repetitions, np.floor(level * (n + 1)) / (n + 1))
    assert low <= alarms <= high


def test_tied_scores_raise_no_more_alarms_than_the_level() -> None:
    rng, repetitions = np.random.default_rng(0), 2000
    alarms = sum(p_values(rng.poisson(1, size=50), rng.poisson(1, size=1))[0] <= 0.1 for _ in range(repetitions))
    assert alarms <= binom.ppf(0.9995, repetitions, 0.1)


def test_the_share_of_inliers_among_discoveries_is_the_level_times_their_share_in_the_batch() -> None:
    rng, level, repetitions = np.random.default_rng(0), 0.2, 1000
    shares, found = np.zeros(repetitions), np.zeros(repetitions)
    for k in range(repetitions):
        scores = np.concatenate([rng.normal(size=80), rng.normal(4, size=20)])
        discoveries = benjamini_hochberg(p_values(rng.normal(size=500), scores), level=level)
        shares[k] = discoveries[:80].sum() / max(discoveries.sum(), 1)
        found[k] = discoveries[80:].mean()
    assert abs(shares.mean() - 0.8 * level) < 4 * shares.std() / np.sqrt(repetitions)
    assert found.mean() > 0.9


def test_a_batch_of_inliers_alone_is_left_alone_at_the_level() -> None:
    rng, repetitions = np.random.default_rng(1), 1000
    wrong = sum(
        benjamini_hochberg(p_values(rng.normal(size=200), rng.normal(size=20)), level=0.1).any()
        for _ in range(repetitions)
    )
    assert wrong <= binom.ppf(0.9995, repetitions, 0.1)


def test_benjamini_hochberg_steps_up_to_the_last_p_value_under_the_line() -> None:
    # The line is 0.05 k / 4: 0.03 is above its own 0.025, and is found because 0.035 is below 0.0375.
    assert benjamini_hochberg([0.9, 0.03, 0.001, 0.035], level=0.05).tolist() == [False, True, True, True]


def test_a_p_value_on_the_line_is_a_discovery_though_rounding_puts_it_above() -> None:
    assert 0.05 * 3 > 0.15
    assert benjamini_hochberg([0.05, 0.9, 0.9], level=0.15).tolist() == [True, False, False]


@settings(deadline=None)
@given(p=st.lists(twentieths, min_size=1, max_size=12), level=twentieths)
def test_discoveries_are_the_smallest_p_values_up_to_and_on_the_line(p: list[int], level: int) -> None:
    under = [each for k, each in enumerate(sorted(p), start=1) if each * len(p) <= level * k]
    expected = [each <= max(under, default=0) for each in p]
    assert benjamini_hochberg(np.array(p) / 20, level=level / 20).tolist() == expected


def test_a_small_calibration_set_finds_nothing_in_a_large_batch() -> None:
    scores = np.concatenate([np.zeros(99), [1e9]])
    assert not benjamini_hochberg(p_values(np.arange(100.0), scores), level=0.1).any()
    assert smallest_p_value(100) > 0.1 / 100


def test_an_empty_batch_has_no_discoveries() -> None:
    assert benjamini_hochberg(p_values([1.0], []), level=0.1).shape == (0,)


def test_what_are_no_scores_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no calibration scores"):
        p_values([], [1.0])
    with pytest.raises(ValueError, match=r"calibration_scores\[1\] is NaN"):
        p_values([0, np.nan], [1.0])
    with pytest.raises(ValueError, match=r"scores has shape \(1, 1\)"):
        p_values([0], [[1.0]])
    with pytest.raises(ValueError, match="no calibration scores"):
        smallest_p_value(0)


def test_what_are_no_p_values_is_refused() -> None:
    with pytest.raises(ValueError, match="level is 0"):
        benjamini_hochberg([0.5], level=0)
    with pytest.raises(ValueError, match=r"p\[0\] is NaN"):
        benjamini_hochberg([np.nan], level=0.1)
    with pytest.raises(ValueError, match=r"must include only numbers between 0 and 1|must lie between 0\. and 1\."):
        benjamini_hochberg([1.5], level=0.1)
