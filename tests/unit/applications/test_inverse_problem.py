"""A linear Gaussian problem, whose posterior is known, stands for all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flow_models.applications import posterior
from flow_models.applications.inverse_problem import InverseProblem
from flow_models.applications.posterior import (
    draw,
    latents_of_truths,
    observed,
    posteriors_of,
    sample_posterior,
    warnings_about,
)
from flow_models.applications.posterior_measures import calibrate, measures
from flow_models.applications.posterior_pictures import shown
from flow_models.data.tables import Rows, write_table
from flow_models.errors import FlowModelsError
from flow_models.evaluation.novelty import Seen
from flow_models.model import FlowModel
from flow_models.partition import Partition
from flow_models.settings import Settings
from flow_models.simulators.base import Array, Bounds

MATRIX = np.array([[1.0, 0.5], [0.0, 1.0], [1.0, -1.0]])  # of f: two parameters, three observations
NOISE = 0.5
COVARIANCE = np.linalg.inv(np.eye(2) + MATRIX.T @ MATRIX / NOISE**2)


class Linear:
    name = "linear problem"
    parameters: Sequence[str] = ("a", "b (km)")
    observations: Sequence[str] = ("u", "v", "w (m)")
    support: Sequence[Bounds] | None = None

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        return rng.standard_normal((number, 2))

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        return x @ MATRIX.T + NOISE * rng.standard_normal((len(x), 3))


class Broken(Linear):
    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        return np.log(super().simulate(x, rng))


class Problem(InverseProblem):
    name, title, unit = "linear", "Linear problem", "m"

    def simulator(self, settings: Settings) -> Linear:
        return Broken() if settings.data.source == "broken" else Linear()

    def forward(self, x: Array) -> Array:
        return np.where(x[:, :1] > 50, np.nan, x @ MATRIX.T)


class Exact:
    """What a trained model is to these functions, with a posterior ``width`` times as wide as the right one."""

    context_width, classes, dimensions, partition = 3, None, 2, Partition(x=2)
    bijector = SimpleNamespace(context_width=3)
    base = SimpleNamespace(noise_of=lambda latent, _: latent)

    def __init__(self, y: Array, *, width: float = 1.0) -> None:
        self.about = {"x": list(Linear.parameters), "y": list(Linear.observations), "seen": Seen.of(y).to_json()}
        self.root = width * np.linalg.cholesky(COVARIANCE)

    def mean(self, y: Array) -> Array:
        return y @ MATRIX @ COVARIANCE / NOISE**2

    def sample(self, number: int, *, context: Array, seed: int, temperature: float = 1.0) -> Array:
        noise = temperature * np.random.default_rng(seed).standard_normal((number, 2))
        return self.mean(context) + noise @ self.root.T

    def encode(self, x: Array, y: Array) -> Array:
        return (x - self.mean(y)) @ np.linalg.inv(self.root).T

    def log_prob(self, x: Array, y: Array) -> Array:
        return -0.5 * (self.encode(x, y) ** 2).sum(axis=1) - np.log(2 * np.pi * np.linalg.det(self.root))


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {
            "application": "somewhere.linear",
            "simulation": {"train": 500, "test": 600},
            "model": {"architecture": "realnvp", "layers": 2, "hidden": [8]},
            "evaluate": {"posteriors": 25, "draws": 20, "local_pairs": 0},
        }
    )


@pytest.fixture
def rows(settings: Settings) -> Rows:
    return Problem().draw(settings).rows("test")


def test_a_right_posterior_passes_every_test_of_calibration(rows: Rows) -> None:
    model = Exact(rows.y)
    posteriors = posteriors_of(model, rows, draws=99, seed=0)
    found = measures(calibrate(posteriors, model, rows, local_pairs=0, seed=0), Linear.parameters)
    assert found["sbc"]["parameters_outside_jointly"] == 0
    assert found["coverage_error"] < 0.02
    assert min(found["hpd_p_value"], found["tarp_p_value"]) > 0.01
    np.testing.assert_allclose(list(found["contraction"].values()), 1 - np.diag(COVARIANCE), atol=0.05)
    np.testing.assert_allclose(list(found["z_score_deviation"].values()), 1, atol=0.1)


def test_an_overconfident_posterior_is_caught_by_every_test_of_calibration(rows: Rows) -> None:
    model = Exact(rows.y, width=0.6)
    posteriors = posteriors_of(model, rows, draws=99, seed=0)
    found = measures(calibrate(posteriors, model, rows, local_pairs=600, seed=0), Linear.parameters)
    assert found["sbc"]["parameters_outside_jointly"] == 2
    assert found["coverage_error"] > 0.05
    assert max(found["hpd_p_value"], found["tarp_p_value"]) < 0.001
    assert found["local_c2st"]["rejected"] > 0.9


def test_a_posterior_that_is_the_prior_is_caught_by_tarp(rows: Rows) -> None:
    model = Exact(rows.y)
    model.mean, model.root = lambda y: np.zeros((len(y), 2)), np.eye(2)
    posteriors = posteriors_of(model, rows, draws=99, seed=0)
    found = measures(calibrate(posteriors, model, rows, local_pairs=0, seed=0), Linear.parameters)
    assert found["sbc"]["parameters_outside_jointly"] == 0
    assert found["tarp_p_value"] < 0.001


def test_resimulated_samples_of_a_right_posterior_lie_as_far_as_the_truth(rows: Rows) -> None:
    posteriors = posteriors_of(Exact(rows.y), rows, draws=99, seed=0)
    error = Problem().resimulation(posteriors.x, posteriors.y, truth=posteriors.truth)
    assert abs(error["truth"] / (3 * NOISE**2) - 1) < 0.1
    assert abs(error["mean"] / error["truth"] - 1) < 0.05
    assert error["failed"] == 0


def test_samples_that_cannot_be_simulated_are_counted_and_all_of_them_refused() -> None:
    samples, y = np.zeros((1, 4, 2)), np.zeros((1, 3))
    samples[0, 0] = 100
    assert Problem().resimulation(samples, y)["failed"] == 0.25
    with pytest.raises(FlowModelsError, match="linear: none of 4 posterior samples can be simulated"):
        Problem().resimulation(samples + 100, y)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_simulator_that_gives_nan_is_refused_in_one_line(settings: Settings) -> None:
    broken = settings.model_copy(update={"data": settings.data.model_copy(update={"source": "broken"})})
    with pytest.raises(FlowModelsError, match=r"^linear problem: \d+ of 500 simulations are not finite.*; correct"):
        Problem().draw(broken)


def test_an_observation_of_the_wrong_width_is_refused_with_what_is_needed(rows: Rows) -> None:
    with pytest.raises(FlowModelsError, match=r"has 2 values, but the model was trained on 3: u, v, w \(m\)"):
        sample_posterior(Exact(rows.y), [1.0, 2.0], 10)


def test_an_observation_that_is_not_finite_is_refused(rows: Rows) -> None:
    with pytest.raises(FlowModelsError, match="observation 1: v is nan"):
        observed(Exact(rows.y), [[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]])


def test_an_observation_outside_training_is_answered_with_a_warning_that_says_how_far(
    rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        samples = sample_posterior(Exact(rows.y), [[0.0, 0.0, 0.0], [0.0, 90.0, 0.0]], 10)
    assert samples.shape == (2, 10, 2)
    assert len(caplog.messages) == 1
    assert "observation 1:" in caplog.text
    assert "times as far" in caplog.text
    assert not warnings_about(Exact(rows.y), rows.y)


def test_parts_of_a_large_draw_have_noise_of_their_own(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posterior, "AT_ONCE", 50)
    samples = draw(Exact(rows.y), rows.y[:2], 100, seed=0)
    assert len(np.unique(samples.round(9).reshape(-1, 2), axis=0)) == 200
    centred = samples - Exact(rows.y).mean(rows.y[:2])[:, None]
    assert len(np.unique(centred.round(9).reshape(-1, 2), axis=0)) == 200


@pytest.mark.parametrize("conditioning", ["context", "parts"])
def test_either_conditioning_is_evaluated_with_every_measure_and_picture(
    conditioning: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings.model_copy(
        update={
            "partition": settings.partition.model_copy(update={"conditioning": conditioning, "y": None}),
        }
    )
    wide = WideProblem() if conditioning == "parts" else Problem()
    write_table(wide.draw(settings), settings.prepared_folder)
    lesson = wide.learn(settings)
    model = lesson.blueprint.build()
    model.initialise(*next(iter(lesson.data.batches(0, 0))))
    evaluation = wide.evaluate(settings, model)
    assert list(evaluation.figures) == ["sbc", "coverage", "recovery", "marginals"]
    assert np.isfinite(evaluation.metrics["negative_log_likelihood"])
    assert "local_c2st" not in evaluation.metrics["calibration"]
    assert conditioning.replace("parts", "part y") in evaluation.summary
    evaluation.write(tmp_path / "report")


def test_latents_of_a_models_own_samples_are_standard_normal_with_a_part_y_too() -> None:
    y = np.random.default_rng(0).normal(3, 2, (4000, 2)).astype(np.float32)
    options = {"features": 3, "layers": 2, "hidden": [8]}
    model = FlowModel("realnvp", options, base={"kind": "observed_part", "y": 2, "noise": 1})
    model.initialise(np.random.default_rng(1).normal(1, 2, (4000, 3)).astype(np.float32), y)
    data = model.sample(4000, context=y).numpy()
    latents = latents_of_truths(model, Rows(x=data[:, :2], noise=data[:, 2:], y=y))
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(3), atol=0.08)
    assert abs(np.corrcoef(latents[:, 0], y[:, 0])[0, 1]) < 0.06


def test_pictures_of_many_parameters_show_eight_evenly_spread() -> None:
    assert list(shown(["depth"] * 40)) == [0, 6, 11, 17, 22, 28, 33, 39]
    assert list(shown(["a", "b"])) == [0, 1]


class WideLinear(Linear):
    """As many parameters as observations, for a part y needs them."""

    parameters: Sequence[str] = ("a", "b (km)", "c")

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        return rng.standard_normal((number, 3))

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        return super().simulate(x[:, :2], rng)


class WideProblem(Problem):
    def simulator(self, _: Settings) -> WideLinear:
        return WideLinear()

    def forward(self, x: Array) -> Array:
        return super().forward(x[:, :2])
