from collections.abc import Callable

import numpy as np
import pytest

from flow_models.evaluation import calibration
from tests.unit.evaluation.calibration.conjugate import WRONG, Simulations, chance, simulate

LEVELS = np.linspace(0.05, 0.95, 19)


def hpd(posterior: Simulations, seed: int) -> np.ndarray:
    log_prob = posterior.log_prob
    return calibration.hpd_levels(log_prob(posterior.truth), log_prob(posterior.samples), seed=seed)


def tarp(posterior: Simulations, seed: int) -> np.ndarray:
    return calibration.tarp_fractions(posterior.samples, posterior.truth, seed=seed)


each_test = pytest.mark.parametrize("test", [hpd, tarp])


@each_test
@pytest.mark.parametrize("draws", [3, 100])
def test_a_calibrated_posterior_is_rejected_at_the_level_of_the_test(
    test: Callable[[Simulations, int], np.ndarray], draws: int
) -> None:
    p = [calibration.uniformity_p_value(test(simulate(100, draws, 2, seed=seed), seed)) for seed in range(200)]
    for level in (0.05, 0.5):
        assert chance(np.sum(np.array(p) <= level), 200, level)


@each_test
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_posterior_is_rejected(test: Callable[[Simulations, int], np.ndarray], wrong: str) -> None:
    p = [
        calibration.uniformity_p_value(test(simulate(500, 50, 2, seed=seed, **WRONG[wrong]), seed))
        for seed in range(20)
    ]
    assert np.sum(np.array(p) < 0.01) >= 18


def test_the_hpd_level_is_the_share_of_denser_samples() -> None:
    level = calibration.hpd_levels([0.0], [np.array([3.0, 2, 1, -1, -2, -3, -4, -5, -6])])
    assert 3 / 10 < level[0] < 4 / 10


def test_samples_as_dense_as_the_truth_are_put_on_either_side_by_lot() -> None:
    levels = calibration.hpd_levels(np.zeros(2000), np.zeros((2000, 9)))
    assert calibration.uniformity_p_value(levels) > 0.001


def test_overconfident_posteriors_have_their_truth_in_outer_regions() -> None:
    means = [hpd(simulate(500, 50, 2, seed=0, **WRONG[wrong]), 0).mean() for wrong in ("narrow", "wide")]
    assert means[0] > 0.6
    assert means[1] < 0.4


def test_a_tarp_fraction_is_the_share_of_samples_nearer_to_the_reference() -> None:
    samples = np.linspace(1, 9, 9).reshape(1, 9, 1)
    fraction = calibration.tarp_fractions(samples, [[4.5]], references=[[0.0]])
    assert 4 / 10 < fraction[0] < 5 / 10


def test_tarp_sees_no_units() -> None:
    right, units = simulate(50, 20, 2, seed=0), np.array([2.0**20, 2.0**-20])
    fractions = tarp(right, 0)
    np.testing.assert_allclose(calibration.tarp_fractions(right.samples * units, right.truth * units), fractions)


def test_a_posterior_that_is_the_prior_is_caught_by_references_that_follow_the_observation() -> None:
    rng, right = np.random.default_rng(0), simulate(500, 50, 2, seed=0)
    prior = rng.standard_normal(right.samples.shape)
    blind = calibration.tarp_fractions(prior, right.truth)
    seeing = calibration.tarp_fractions(prior, right.truth, references=right.observations)
    assert calibration.uniformity_p_value(blind) > 0.01
    assert calibration.uniformity_p_value(seeing) < 1e-6


def test_the_seed_of_the_simulations_may_be_that_of_the_test() -> None:
    # Both draw their first numbers uniformly in the same shape: from one stream they would be equal.
    rng = np.random.default_rng(3)
    truth = rng.uniform(size=(300, 1))
    samples = rng.uniform(size=(300, 20, 1))
    assert calibration.uniformity_p_value(calibration.tarp_fractions(samples, truth, seed=3)) > 0.001


def test_a_few_far_samples_do_not_move_the_references() -> None:
    posterior = simulate(500, 50, 2, seed=0)
    before = tarp(posterior, 0)
    posterior.samples[::100, 0] = 1e6
    assert np.abs(tarp(posterior, 0) - before).mean() < 0.05


def test_a_parameter_that_never_varies_is_no_obstacle() -> None:
    right = simulate(200, 20, 2, seed=0)
    right.samples[..., 1] = right.truth[:, 1] = 3
    assert calibration.uniformity_p_value(tarp(right, 0)) > 0.001


def test_coverage_is_the_share_of_truths_inside_each_region() -> None:
    np.testing.assert_allclose(calibration.coverage([0.1, 0.2, 0.9, 1.0], [0, 0.15, 0.2, 1]), [0, 0.25, 0.5, 1])


@pytest.mark.parametrize("draws", [19, 200])
def test_central_intervals_of_a_calibrated_posterior_cover_at_their_level(draws: int) -> None:
    right = simulate(4000, draws, 2, seed=1)
    fractions = calibration.central_interval_coverage(right.samples, right.truth, [0.1, 0.5, 0.9])
    assert fractions.shape == (3, 2)
    for level, row in zip((0.1, 0.5, 0.9), fractions, strict=True):
        assert all(chance(round(4000 * share), 4000, level) for share in row)


def test_narrow_intervals_cover_too_little_and_wide_ones_too_much() -> None:
    narrow, wide = (simulate(500, 100, 1, seed=0, **WRONG[wrong]) for wrong in ("narrow", "wide"))
    assert calibration.central_interval_coverage(narrow.samples, narrow.truth, [0.9])[0, 0] < 0.75
    assert calibration.central_interval_coverage(wide.samples, wide.truth, [0.5])[0, 0] > 0.65


def test_the_coverage_error_is_small_where_and_only_where_the_posterior_is_calibrated() -> None:
    errors = {}
    for name, change in {"right": {}, **WRONG}.items():
        posterior = simulate(1000, 100, 2, seed=0, **change)
        fractions = calibration.central_interval_coverage(posterior.samples, posterior.truth, LEVELS)
        errors[name] = calibration.coverage_error(fractions, LEVELS)
    assert errors["right"] < 0.02
    assert min(errors[name] for name in WRONG) > 0.06


def test_the_coverage_error_is_the_mean_distance_from_the_levels() -> None:
    assert calibration.coverage_error([0.5, 0.8], [0.4, 0.9]) == pytest.approx(0.1)
    assert calibration.coverage_error([[0.5, 0.4], [0.8, 0.9]], [0.4, 0.9]) == pytest.approx(0.05)


def test_numbers_that_are_no_levels_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"levels\[1\] is not in"):
        calibration.uniformity_p_value([0.5, np.nan])
    with pytest.raises(ValueError, match="levels has shape"):
        calibration.uniformity_p_value([])
    with pytest.raises(ValueError, match=r"nominal\[0\] is not in"):
        calibration.coverage([0.5], [95])
    with pytest.raises(ValueError, match="do not belong together"):
        calibration.coverage_error([0.5], [0.4, 0.6])
    with pytest.raises(ValueError, match=r"fractions\[0\]"):
        calibration.coverage_error([50.0], [0.5])
    with pytest.raises(ValueError, match="log_prob_truth"):
        calibration.hpd_levels([0.0, 1], [[0.0, 1]])
    with pytest.raises(ValueError, match="log_prob_samples has a NaN in simulation 0"):
        calibration.hpd_levels([0.0], [[np.nan]])
    with pytest.raises(ValueError, match="references"):
        calibration.tarp_fractions(np.zeros((2, 3, 1)), np.zeros((2, 1)), references=np.zeros((1, 1)))
