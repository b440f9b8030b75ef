"""Sets and short series are observations too."""

from __future__ import annotations

import numpy as np
import pytest

import flow_models as fm
from tests.unit.estimators.tiny import TINY

ELEMENTS = 4


def pairs(number, seed):
    """A mean from N(0, 1) and as many draws about it: given them it is N(k x̄ / (k + 1), 1 / (k + 1))."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=number)
    return mean[:, None] + rng.normal(size=(number, ELEMENTS)), mean


@pytest.fixture(scope="module")
def of_sets():
    chosen = TINY | {"hidden": 32, "n_estimators": 4, "max_iter": 600}
    return fm.FlowPosterior(observation="set", **chosen).fit(*pairs(16_000, 0))


def test_the_posterior_of_repeated_measurements_is_the_conjugate_one(of_sets):
    observed, _ = pairs(6, 1)
    samples = of_sets.sample(observed, 2000)[..., 0]
    exact = observed.sum(axis=1) / (ELEMENTS + 1)
    # A fifth of the true deviation, 0.447.
    np.testing.assert_allclose(samples.mean(axis=1), exact, atol=0.09)
    np.testing.assert_allclose(samples.std(axis=1), (ELEMENTS + 1) ** -0.5, atol=0.09)
    np.testing.assert_allclose(of_sets.predict(observed), exact, atol=0.12)


def test_the_order_of_a_set_does_not_matter(of_sets):
    observed = np.array([0.3, -1.2, 2.0, 0.7])
    theta = np.linspace(-2, 2, 9)
    assert of_sets.sample(observed, 3).shape == (3, 1)
    np.testing.assert_allclose(
        of_sets.log_prob(observed[[2, 0, 3, 1]], theta), of_sets.log_prob(observed, theta), rtol=1e-4, atol=1e-5
    )


def test_a_set_unlike_all_seen_is_warned_of(of_sets):
    with pytest.warns(UserWarning, match="extrapolation"):
        of_sets.sample([9.0, 9.0, 9.0, 9.0], 2)


def test_the_order_of_a_series_matters():
    """Which of two bumps comes first is what the parameter says."""
    rng = np.random.default_rng(0)
    place = rng.uniform(0, 1, 2000)
    series = np.exp(-0.5 * ((np.arange(12) / 11 - place[:, None]) / 0.1) ** 2)[..., None]
    posterior = fm.FlowPosterior(observation="series", support=(0, 1), **TINY | {"hidden": 32, "max_iter": 300})
    posterior.fit(series[:1500], place[:1500])
    assert posterior.score(series[1500:], place[1500:]) > 0.9
    assert posterior.sample(series[:2], 5).shape == (2, 5, 1)
    tree = posterior.to_inference_data(series[:2], 5)
    assert tree["observed_data/x0"].dims == ("observation", "element")


def test_a_saved_posterior_of_sets_answers_as_before(of_sets, tmp_path):
    of_sets.save(tmp_path / "posterior")
    observed, mean = pairs(5, 2)
    again = fm.FlowPosterior.load(tmp_path / "posterior")
    np.testing.assert_allclose(again.log_prob(observed, mean), of_sets.log_prob(observed, mean), rtol=1e-4, atol=1e-5)


def test_simulators_may_give_sets():
    def simulate(theta, rng):
        if (theta > 2).any():
            raise ValueError("too far")
        return theta[:, None, :] + rng.normal(size=(len(theta), ELEMENTS, 2))

    with pytest.warns(UserWarning, match="too far"):
        posterior = fm.FlowPosterior(observation="set", **TINY).fit_simulator(
            simulate, lambda number, rng: rng.normal(size=(number, 2)), 200
        )
    assert posterior.sample(np.zeros((ELEMENTS, 2)), 3).shape == (3, 2)
    with pytest.raises(ValueError, match=r"shape \(1, 4, 3\); FlowPosterior was fitted to \('n', 4, 2\)"):
        posterior.sample(np.zeros((ELEMENTS, 3)), 3)


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("bag", (20, 3), "observation must be one of vector, set, series; got 'bag'"),
        ("set", (20,), "X has 1 axes, not 3 or 2"),
        ("vector", (20, 3, 2), "dim"),
    ],
)
def test_observations_of_another_shape_are_refused(kind, shape, message):
    with pytest.raises(ValueError, match=message):
        fm.FlowPosterior(observation=kind, **TINY).fit(np.ones(shape), np.arange(20.0))


def test_sets_of_another_size_are_refused(of_sets):
    with pytest.raises(ValueError, match="X has 3 features, but FlowPosterior is expecting 4"):
        of_sets.sample([1.0, 2.0, 3.0], 2)
