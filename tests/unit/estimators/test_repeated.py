"""The same rows and the same seed make the same estimator, however often TensorFlow has run its steps."""

from __future__ import annotations

import numpy as np
import pytest

import flow_models as fm
from tests.unit.estimators.tiny import TINY

FITS = 7  # after some ninety steps TensorFlow adds in another order, see check_fit_idempotent


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        (fm.FlowDensity, "score_samples"),
        (fm.FlowOutlierDetector, "score_samples"),
        (fm.FlowClassifier, "predict_proba"),
        (fm.FlowPosterior, "predict"),
    ],
)
def test_fits_of_the_same_rows_are_equal_but_for_rounding(kind, function):
    rows = np.random.default_rng(0).normal(size=(80, 2))
    fits = [kind(**TINY).fit(rows, (rows[:, 0] > 0).astype(float)) for _ in range(FITS)]
    first, *others = (getattr(fit, function)(rows) for fit in fits)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-5)
