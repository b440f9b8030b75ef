"""Tables of pandas and polars go in under their names, and come out when asked for."""

from __future__ import annotations

import numpy as np
import pytest

import flow_models as fm
from tests.unit.estimators.tiny import TINY

ROWS = np.random.default_rng(0).normal(size=(60, 3))
NAMES = ["depth", "share", "unit"]


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed")


def test_a_density_keeps_names_and_gives_its_latents_as_a_table(library):
    frame = library.DataFrame(dict(zip(NAMES, ROWS.T, strict=True)))
    density = fm.FlowDensity(**TINY).set_output(transform=library.__name__).fit(frame)
    assert density.feature_names_in_.tolist() == NAMES
    latents = density.transform(frame)
    assert isinstance(latents, library.DataFrame)
    assert list(latents.columns) == ["flowdensity0", "flowdensity1", "flowdensity2"]
    np.testing.assert_allclose(density.inverse_transform(latents), ROWS, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="feature names should match"):
        density.score_samples(library.DataFrame(dict(zip(reversed(NAMES), ROWS.T, strict=True))))


def test_classes_and_weights_may_be_series(library):
    frame = library.DataFrame(dict(zip(NAMES, ROWS.T, strict=True)))
    labels = library.Series(["right" if each > 0 else "left" for each in ROWS[:, 0]])
    classifier = fm.FlowClassifier(**TINY).fit(frame, labels, sample_weight=library.Series([1.0, 2.0] * 30))
    assert set(classifier.predict(frame)) <= {"left", "right"}


def test_a_posterior_calls_the_parameters_by_the_names_of_their_columns(library):
    observed = library.DataFrame(dict(zip(NAMES, ROWS.T, strict=True)))
    parameters = library.DataFrame({"rate": ROWS[:, 0], "age": ROWS[:, 1]})
    posterior = fm.FlowPosterior(**TINY).fit(observed, parameters)
    assert posterior.parameter_names_ == ["rate", "age"]
    assert posterior.sample(observed, 4).shape == (60, 4, 2)
    assert posterior.log_prob(observed, parameters).shape == (60,)
    assert fm.FlowPosterior(**TINY).fit(observed, library.Series(ROWS[:, 0])).parameter_names_ == ["parameter_0"]
