"""A row of weight 2 counts as if it were there twice, one of weight 0 as if it were not there."""

from __future__ import annotations

import numpy as np
import pytest

import flow_models as fm
from flow_models.estimators.batches import draw_by_weight, effective_rows
from tests.unit.estimators.tiny import TINY


def test_rows_are_drawn_as_often_as_their_weights_say():
    weights = np.array([2.0, 1.0, 0.0, 0.5, 1.5])
    for seed in range(5):
        counts = np.bincount(draw_by_weight(weights, 10, np.random.default_rng(seed)), minlength=5)
        assert counts.tolist() == [4, 2, 0, 1, 3]
    # Where the share is no whole number of draws, its mean is right.
    many = [np.bincount(draw_by_weight(weights, 3, np.random.default_rng(seed)), minlength=5) for seed in range(3000)]
    np.testing.assert_allclose(np.mean(many, axis=0), 3 * weights / 5, atol=0.05)


def test_unequal_weights_tell_as_much_as_fewer_rows():
    assert effective_rows(np.full(10, 3.0)) == 10
    assert effective_rows(np.array([1.0] * 10 + [1e-9] * 90)) == 10


@pytest.fixture(scope="module")
def clumps():
    """As many rows about -3 as about 3, the second of three times the weight of the first."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 1, 400), rng.normal(3, 1, 400)])[:, None]
    return x, np.repeat([0, 1], 400), np.repeat([1.0, 3.0], 400)


def test_the_density_is_that_of_the_weighted_rows(clumps):
    x, _, weights = clumps
    chosen = TINY | {"layers": 4, "hidden": 16, "max_iter": 400}
    density = fm.FlowDensity(**chosen).fit(x, sample_weight=weights)
    assert (density.sample(4000) > 0).mean() == pytest.approx(0.75, abs=0.05)
    assert density.score(x, sample_weight=weights) == pytest.approx(
        np.average(density.score_samples(x), weights=weights)
    )
    assert density.score(x, sample_weight=weights) > density.score(x)


def test_classes_have_the_shares_of_their_weights(clumps):
    x, y, weights = clumps
    classifier = fm.FlowClassifier(**TINY | {"max_iter": 200}).fit(x, y, sample_weight=weights)
    assert classifier.class_prior_.tolist() == [0.25, 0.75]
    # Half way between the two the likelihoods are equal, and the posterior is the prior.
    assert classifier.predict_proba([[0.0]])[0, 1] == pytest.approx(0.75, abs=0.12)


@pytest.mark.parametrize(
    "estimator", [fm.FlowDensity(**TINY), fm.FlowClassifier(**TINY)], ids=lambda each: type(each).__name__
)
def test_rows_of_no_weight_might_as_well_not_be_there(estimator, clumps):
    x, y, weights = (each[::8] for each in clumps)
    far = np.vstack([x, np.full((5, 1), 1e6)])
    more = estimator.fit(far, np.append(y, np.full(5, 9)), sample_weight=np.append(weights, np.zeros(5))).score_samples(
        x
    )
    np.testing.assert_array_equal(more, estimator.fit(x, y, sample_weight=weights).score_samples(x))
    # Nor does it matter in what unit weights are.
    np.testing.assert_array_equal(more, estimator.fit(x, y, sample_weight=2 * weights).score_samples(x))


@pytest.mark.parametrize(
    ("weights", "message"),
    [([0.0] * 9 + [1.0], "fewer than 2 samples have a positive weight"), ([-1.0] + [1.0] * 9, "[Nn]egative")],
)
def test_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        fm.FlowDensity(**TINY).fit(np.arange(10.0)[:, None], sample_weight=weights)
