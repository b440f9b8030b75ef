"""A joint distribution of TFP is prior and simulator in one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import flow_models as fm
from flow_models.estimators.joint import draw_pairs, prior_support
from tests.unit.estimators.tiny import TINY

tfd = tfp.distributions
NORMAL = tfd.JointDistributionNamed(
    {"mean": tfd.Normal(0.0, 1.0), "x": lambda mean: tfd.Sample(tfd.Normal(mean, 0.5), 2)}
)


@tfd.JointDistributionCoroutineAutoBatched
def coroutine():
    slopes = yield tfd.Sample(tfd.Uniform(-1.0, 2.0), 2, name="slopes")
    width = yield tfd.HalfCauchy(2.0, 1.0, name="width")
    yield tfd.Sample(tfd.Normal(slopes[0], width), 3, name="x")
    yield tfd.Poisson(1.0, name="count")


def about(below, rate):
    return tfd.Normal(below, rate)


SEQUENCE = tfd.JointDistributionSequential([tfd.Gamma(2.0, 1.0), lambda rate: tfd.Uniform(0.0, rate), about])
FALLING = tfd.JointDistributionNamed(
    {"variance": tfd.InverseGamma(2.0, 1.0), "x": lambda variance: tfd.Normal(0.0, tf.sqrt(variance))}
)


@pytest.mark.parametrize(
    ("joint", "observed", "names", "support"),
    [
        (NORMAL, ["x"], ["mean"], [(None, None)]),
        (coroutine, ["count", "x"], ["slopes[0]", "slopes[1]", "width"], [(-1, 2), (-1, 2), (2, None)]),
        # The upper bound of the second depends on the first, and is none.
        (SEQUENCE, [2], ["parameter_0", "parameter_1"], [(0, None), (0, None)]),
        (FALLING, ["x"], ["variance"], [(pytest.approx(0), None)]),
    ],
)
def test_parameters_have_the_names_and_the_support_of_their_parts(joint, observed, names, support):
    assert draw_pairs(joint, observed, 10, seed=0)[1] == names
    assert prior_support(joint, observed) == support


def test_a_bound_that_depends_on_other_parameters_is_warned_of():
    with pytest.warns(
        UserWarning, match="parameter_1: a bound of it depends on the other parts, and is left out; .* state"
    ):
        prior_support(SEQUENCE, [2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior_support(coroutine, ["count", "x"])


def test_pairs_belong_together_and_repeat_with_their_seed():
    pairs, _ = draw_pairs(NORMAL, ["x"], 400, seed=1)
    assert (pairs.parameters.shape, pairs.observations.shape) == ((400, 1), (400, 2))
    assert np.corrcoef(pairs.parameters[:, 0], pairs.observations[:, 1])[0, 1] == pytest.approx(0.89, abs=0.05)
    np.testing.assert_array_equal(pairs.observations, draw_pairs(NORMAL, ["x"], 400, seed=1)[0].observations)


def test_a_posterior_of_a_joint_distribution_lies_in_its_support():
    joint = tfd.JointDistributionNamed(
        {
            "slopes": tfd.Sample(tfd.Uniform(-1.0, 2.0), 2),
            "count": tfd.Poisson(1.0),
            "x": lambda slopes, count: tfd.Normal(slopes[..., 0], 1 + count),
        }
    )
    posterior = fm.FlowPosterior(**TINY).fit_distribution(joint, observed=["x"], num_simulations=200)
    drawn = dict(zip(posterior.parameter_names_, posterior.sample([0.0], 500).T, strict=True))
    assert (abs(drawn["slopes[1]"] - 0.5) < 1.5).all()
    assert (drawn["count"] % 1 == 0).all()
    report = posterior.calibrate_distribution(joint, observed=["x"], n=30, draws=20)
    assert set(report["contraction"]) == {"count", "slopes_0", "slopes_1"}


def test_a_support_that_is_not_told_can_be_stated():
    class Silent(tfd.Normal):
        def _default_event_space_bijector(self):
            raise NotImplementedError

    joint = tfd.JointDistributionNamed({"mean": Silent(0.0, 1.0), "x": lambda mean: tfd.Normal(mean, 1.0)})
    with pytest.warns(UserWarning, match="mean: its distribution does not tell its bounds .* state what holds"):
        assert prior_support(joint, ["x"]) == [(None, None)]
    stated = fm.FlowPosterior(**TINY, support=(-5, 4)).fit_distribution(joint, observed=["x"], num_simulations=50)
    assert (stated.units_.low, stated.units_.high) == (-5, 4)


@pytest.mark.parametrize("observed", [["y"], [], ["x", "mean"]])
def test_parts_that_cannot_be_observed_are_refused(observed):
    with pytest.raises(ValueError, match=r"some of the parts \['mean', 'x'\]|some of the parts \['x', 'mean'\]"):
        draw_pairs(NORMAL, observed, 10, seed=0)
