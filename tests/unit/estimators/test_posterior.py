"""FlowPosterior: inside the prior's bounds, normalised, calibrated, and honest about what it has not seen."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import flow_models as fm
from tests.unit.estimators.tiny import TINY, expected_failures


@parametrize_with_checks([fm.FlowPosterior(**TINY)], expected_failed_checks=expected_failures)
def test_it_keeps_scikit_learns_conventions(estimator, check):
    check(estimator)


def draw_prior(number, rng):
    return rng.uniform(-1, 1, (number, 2))


def simulate(theta, rng):
    return theta + 0.3 * rng.normal(size=theta.shape)


@pytest.fixture(scope="module")
def posterior():
    chosen = TINY | {"layers": 4, "hidden": 32, "max_iter": 600, "support": (-1, 1)}
    return fm.FlowPosterior(**chosen).fit_simulator(simulate, draw_prior, 4000)


def test_one_observation_gives_a_table_of_samples_and_several_one_each(posterior):
    assert posterior.sample([0.1, 0.2], 50).shape == (50, 2)
    assert posterior.sample([[0.1, 0.2], [0.3, 0.4], [0, 0]], 50).shape == (3, 50, 2)


def test_no_sample_lies_outside_of_the_prior(posterior):
    assert (abs(posterior.sample([1.1, -1.1], 5000)) < 1).all()
    assert (posterior.log_prob([0.5, 0.5], [[1.5, 0.0]]) == -np.inf).all()


def test_the_posterior_is_the_true_one(posterior):
    """A normal about the observation, cut off at the prior's bounds."""
    grid = np.linspace(-1, 1, 2001)
    weight = np.exp(-0.5 * ((grid - 0.8) / 0.3) ** 2)
    mean = (grid * weight).sum() / weight.sum()
    samples = posterior.sample([0.8, 0.0], 4000)
    # One small flow: a third of the true deviations, 0.21 and 0.3, is what it may be off.
    assert samples.mean(axis=0) == pytest.approx([mean, 0], abs=0.07)
    assert samples.std(axis=0) == pytest.approx([0.21, 0.3], abs=0.07)
    assert posterior.predict([[0.8, 0.0]])[0] == pytest.approx([mean, 0], abs=0.08)


def test_its_density_integrates_to_one(posterior):
    line = np.linspace(-1, 1, 401)[1:-1]
    x, y = np.meshgrid(line, line)
    values = np.exp(posterior.log_prob([0.9, -0.5], np.column_stack([x.ravel(), y.ravel()]))).reshape(x.shape)
    assert np.trapezoid(np.trapezoid(values, line, axis=1), line) == pytest.approx(1, abs=0.02)


def test_calibration_is_reported_in_one_call(posterior):
    report = posterior.calibrate(simulate, draw_prior, n=200, draws=100, seed=1)
    assert report["coverage_error"] < 0.06
    assert report["sbc"]["parameters_outside_jointly"] == 0
    assert set(report["contraction"]) == {"parameter_0", "parameter_1"}


def test_an_observation_unlike_all_seen_is_warned_of(posterior):
    with pytest.warns(UserWarning, match="as far from the middle of the training data"):
        posterior.sample([9.0, 0.0], 5)
    with pytest.warns(UserWarning, match=r"observation 1: .* \(and 1 others of 3\)"):
        posterior.predict([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior.sample([0.0, 0.0], 5)
        posterior.predict([[0.0, 0.0]])


def test_means_of_many_observations_take_no_more_memory_than_their_parts(posterior):
    observed = draw_prior(3000, np.random.default_rng(0))
    tracemalloc.start()
    means = posterior.predict(observed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15e6  # 200 draws at each at once would be 50 MB
    np.testing.assert_allclose(posterior.predict(observed[-3:]), means[-3:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parameters", [np.zeros((4, 3)), np.zeros((6, 1)), np.zeros(2)])
def test_parameters_of_another_width_are_refused(posterior, parameters):
    with pytest.raises(ValueError, match=r"parameters have shape \(.*\); FlowPosterior was fitted to \('n', 2\)"):
        posterior.log_prob([0.1, 0.2], parameters)


def test_no_samples_at_all_is_no_question(posterior):
    with pytest.raises(ValueError, match="num_samples == 0, must be >= 1"):
        posterior.sample([0.1, 0.2], 0)


def test_arviz_takes_the_samples_under_the_names_of_the_parameters():
    theta = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["depth", "age"])
    posterior = fm.FlowPosterior(**TINY).fit(theta.to_numpy(), theta)
    tree = posterior.to_inference_data([0.1, 0.2], 30, random_state=1)
    assert {name: each.dims for name, each in tree["posterior"].items()} == dict.fromkeys(
        ["depth", "age"], ("chain", "draw")
    )
    drawn = posterior.sample([0.1, 0.2], 30, random_state=1)
    np.testing.assert_array_equal(tree["posterior/age"][0], drawn[:, 1])
    np.testing.assert_allclose(tree["sample_stats/lp"][0], posterior.log_prob([0.1, 0.2], drawn), rtol=1e-5)
    several = posterior.to_inference_data([[0.1, 0.2], [0.3, 0.4]], 30)
    assert several["posterior/depth"].sizes == {"chain": 1, "draw": 30, "observation": 2}
    assert several["observed_data/x1"].to_numpy().tolist() == [0.2, 0.4]
    np.testing.assert_array_equal(
        several["posterior/depth"][0, :, 1], posterior.sample([[0.1, 0.2], [0.3, 0.4]], 30)[1, :, 0]
    )


def test_a_saved_posterior_answers_as_before(posterior, tmp_path):
    posterior.save(tmp_path / "posterior")
    again = fm.FlowPosterior.load(tmp_path / "posterior")
    theta = np.array([[0.1, 0.2], [0.3, -0.4]])
    np.testing.assert_allclose(again.log_prob([0.2, 0.2], theta), posterior.log_prob([0.2, 0.2], theta), rtol=1e-4)
    np.testing.assert_allclose(again.sample([0.2, 0.2], 5), posterior.sample([0.2, 0.2], 5), rtol=1e-4)
    with pytest.warns(UserWarning, match="extrapolation"):
        again.sample([9.0, 0.0], 5)
