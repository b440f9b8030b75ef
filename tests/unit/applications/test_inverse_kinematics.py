from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from flow_models.applications.inverse_kinematics import APPLICATION
from flow_models.applications.posterior import Posteriors
from flow_models.data.tables import Rows
from flow_models.partition import Partition
from flow_models.report.theme import png
from flow_models.settings import Settings
from flow_models.simulators.base import Array
from flow_models.simulators.kinematics import exact_log_prob, exact_posterior

TARGETS = 4


class Sampler:
    """What a trained model is to the application, with posterior samples of our choice."""

    context_width, classes, dimensions, partition = 2, None, 4, Partition(x=4)
    bijector = SimpleNamespace(context_width=2)

    def __init__(self, *, of_prior: bool = False) -> None:
        self.of_prior = of_prior
        self.about = {"y": ["end_horizontal", "end_vertical"]}

    def sample(self, number: int, *, context: Array, seed: int, temperature: float) -> Array:  # noqa: ARG002
        rng = np.random.default_rng(seed)
        if self.of_prior:
            return APPLICATION.simulator(Settings()).draw_prior(number, rng)
        different, first, counts = np.unique(context, axis=0, return_index=True, return_counts=True)
        samples = np.empty((number, 4))
        for y, start, count in zip(different, first, counts, strict=True):
            samples[start : start + count] = exact_posterior(y.astype(float), count, rng)
        return samples


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"application": "inverse_kinematics", "evaluate": {"references": TARGETS}})


@pytest.fixture
def rows(settings: Settings) -> Rows:
    return APPLICATION.source(settings).draw(20, seed=0, stream=9)


def posteriors(rows: Rows, log_prob_truth: Array) -> Posteriors:
    x, y = rows.x.astype(float), rows.y.astype(float)
    return Posteriors(x=x[:, None], truth=x, y=y, log_prob=log_prob_truth[:, None], log_prob_truth=log_prob_truth)


def exact(rows: Rows) -> Array:
    return exact_log_prob(rows.x.astype(float), rows.y.astype(float), np.random.default_rng(5))


def test_a_model_that_is_the_exact_posterior_has_no_error_but_the_noises_floor(settings: Settings, rows: Rows) -> None:
    found = APPLICATION.findings(settings, Sampler(), posteriors(rows, exact(rows)))
    benchmark, hard = found.metrics["benchmark"], found.metrics["hard_point"]
    assert abs(benchmark["posterior_error"]) < 0.0015
    assert abs(benchmark["resimulation_error"] / 0.0002 - 1) < 0.1
    assert abs(hard["posterior_error"]) < 0.002
    assert abs(hard["resimulation_error"] / 0.0002 - 1) < 0.15
    assert abs(found.metrics["divergence"]) < 0.03
    pictures = found.sections[0].pictures
    assert list(pictures) == ["arms", "hard_point"]
    assert png(pictures["arms"].figure).startswith(b"\x89PNG")


def test_a_model_that_ignores_the_end_point_has_the_priors_published_errors(settings: Settings, rows: Rows) -> None:
    many = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"references": 12})})
    found = APPLICATION.findings(many, Sampler(of_prior=True), posteriors(rows, exact(rows) - 2.5))
    # 0.242 and 2.73 over 1,000 end points.
    assert abs(found.metrics["benchmark"]["posterior_error"] - 0.242) < 0.1
    assert abs(found.metrics["benchmark"]["resimulation_error"] - 2.73) < 0.9
    assert abs(found.metrics["divergence"] - 2.5) < 0.03


def test_the_model_learns_end_points_with_the_benchmarks_noise(settings: Settings) -> None:
    rows = APPLICATION.source(settings).draw(4000, seed=0, stream=0)
    miss = rows.y - APPLICATION.forward(rows.x.astype(float))
    np.testing.assert_allclose(miss.std(axis=0), 0.01, rtol=0.05)
