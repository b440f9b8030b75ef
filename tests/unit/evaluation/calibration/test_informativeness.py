import numpy as np
import pytest

from flow_models.evaluation import calibration
from tests.unit.evaluation.calibration.conjugate import VARIANCE, simulate


def test_contraction_is_the_share_of_the_priors_variance_that_is_gone() -> None:
    right = simulate(20, 5000, 2, seed=0)
    contraction = calibration.contraction(right.samples, [1.0, 2.0])
    np.testing.assert_allclose(contraction.mean(axis=0), [1 - VARIANCE, 1 - VARIANCE / 4], atol=0.01)


def test_a_posterior_that_is_the_prior_has_not_contracted() -> None:
    prior = np.random.default_rng(0).normal(scale=3, size=(20, 5000, 1))
    np.testing.assert_allclose(calibration.contraction(prior, [3.0]), 0, atol=0.1)


def test_a_z_score_is_in_deviations_of_the_posterior() -> None:
    samples = np.array([[[1.0], [2], [3]]])
    np.testing.assert_allclose(calibration.z_score(samples, [[5.0]]), [[-3]])


def test_z_scores_of_a_calibrated_posterior_are_standard_and_those_of_a_shifted_one_are_off() -> None:
    for shift in (0, 0.7):
        posterior = simulate(4000, 200, 1, seed=0, shift=shift)
        z = calibration.z_score(posterior.samples, posterior.truth)
        assert z.mean() == pytest.approx(shift, abs=0.06)
        assert z.std() == pytest.approx(1, abs=0.05)


def test_what_has_no_width_is_refused() -> None:
    with pytest.raises(ValueError, match="one draw"):
        calibration.z_score(np.zeros((2, 1, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="simulation 0 are all equal"):
        calibration.z_score(np.zeros((2, 3, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="draws > 1"):
        calibration.contraction(np.zeros((2, 1, 1)), [1.0])
    with pytest.raises(ValueError, match=r"prior_std\[1\] is not positive"):
        calibration.contraction(np.zeros((2, 3, 2)), [1.0, 0.0])
