"""FlowOutlierDetector: what is unlike the rest, at a rate that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import flow_models as fm
from tests.unit.estimators.tiny import TINY, expected_failures


@parametrize_with_checks([fm.FlowOutlierDetector(**TINY)], expected_failed_checks=expected_failures)
def test_it_keeps_scikit_learns_conventions(estimator, check):
    check(estimator)


def points(number, seed):
    """On a circle, so that their mean is no inlier."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, number)
    return np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.normal(size=(number, 2))


@pytest.fixture(scope="module")
def detector():
    return fm.FlowOutlierDetector(**TINY | {"layers": 4, "hidden": 32, "max_iter": 400}).fit(points(1000, 0))


def test_false_alarms_come_at_the_rate_that_was_asked_for(detector):
    p = detector.p_values(points(1000, 1))
    spread = binom.std(1000, 0.1) * np.sqrt(1 + 1000 / len(detector.calibration_scores_))
    assert (p <= 0.1).sum() == pytest.approx(100, abs=3 * spread)
    assert ((detector.predict(points(1000, 1)) == -1) == (p <= 0.05)).all()


def test_the_middle_of_a_ring_is_an_outlier(detector):
    inside = 0.1 * np.random.default_rng(2).normal(size=(200, 2))
    scores = np.concatenate([detector.score_samples(points(200, 3)), detector.score_samples(inside)])
    assert roc_auc_score(np.repeat([1, 0], 200), scores) > 0.97
    assert (detector.predict(inside) == -1).mean() > 0.8


def test_a_given_share_of_the_rows_is_called_outliers():
    x = points(300, 0)
    detector = fm.FlowOutlierDetector(**TINY, contamination=0.1)
    assert (detector.fit_predict(x) == -1).mean() == pytest.approx(0.1, abs=0.01)


def test_a_saved_detector_decides_as_before(detector, tmp_path):
    detector.save(tmp_path / "detector")
    again = fm.FlowOutlierDetector.load(tmp_path / "detector")
    x = points(50, 4)
    np.testing.assert_allclose(again.p_values(x), detector.p_values(x))
    np.testing.assert_allclose(again.decision_function(x), detector.decision_function(x), rtol=1e-4, atol=1e-4)


def test_two_rows_are_too_few_and_three_will_do():
    with pytest.raises(ValueError, match="minimum of 3 is required by FlowOutlierDetector"):
        fm.FlowOutlierDetector(**TINY).fit(points(2, 0))
    assert fm.FlowOutlierDetector(**TINY, calibration_fraction=0.9).fit(points(3, 0)).offset_ < np.inf


@pytest.mark.parametrize("wrong", [{"contamination": 0.7}, {"calibration_fraction": 0.0}, {"max_iter": 0}])
def test_choices_that_make_no_sense_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        fm.FlowOutlierDetector(**TINY | wrong).fit(points(50, 0))
