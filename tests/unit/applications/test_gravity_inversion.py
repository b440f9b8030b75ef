from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flow_models.applications import reference_posteriors
from flow_models.applications.gravity_inversion import APPLICATION
from flow_models.applications.posterior import Posteriors
from flow_models.applications.reference_posteriors import compare, leading_components, read_references
from flow_models.data.tables import read_table, write_table
from flow_models.partition import Partition
from flow_models.report.theme import png
from flow_models.settings import Settings
from flow_models.simulators.base import Array
from flow_models.simulators.gravity import NARROW, PRISMS, depths_of

CASES, DRAWS = 2, 200


class Chains:
    """What a trained model is to the application: samples that are the references' own, or ``widened`` ones."""

    context_width, classes, dimensions, partition = 20, None, PRISMS, Partition(x=PRISMS)
    bijector = SimpleNamespace(context_width=20)

    def __init__(self, centres: Array, *, widened: float = 1.0) -> None:
        self.centres, self.widened = centres, widened

    def sample(self, number: int, *, context: Array, seed: int, temperature: float) -> Array:  # noqa: ARG002
        return posterior(self.centres, context, np.random.default_rng(seed), self.widened)


def posterior(centres: Array, context: Array, rng: np.random.Generator, width: float) -> Array:
    """A stand-in: latents 0.1 wide about those of the case that the first station's gravity names."""
    case = context[:, 0].astype(int)
    return depths_of(centres[case] + 0.1 * width * rng.standard_normal((len(case), PRISMS)))


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {
            "application": "gravity_inversion",
            "simulation": {"train": 200, "test": 60},
            "model": {"architecture": "realnvp", "layers": 2, "hidden": [8], "whiten": True},
            "evaluate": {"posteriors": 20, "draws": 20, "references": CASES, "local_pairs": 0},
        }
    )


@pytest.fixture
def centres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Array:
    """Of the latents of two cases, whose references lie where the application looks for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reference_posteriors, "WIDE", (8,))
    monkeypatch.setattr(reference_posteriors, "LEADING", 2)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CASES, PRISMS))
    observations = np.tile(np.arange(CASES)[:, None] + 0.5, (1, 20))
    samples = np.stack([posterior(centres, np.tile(y, (DRAWS, 1)), rng, 1.0) for y in observations])
    reference_posteriors.FOLDER.mkdir(parents=True)
    np.savez(
        reference_posteriors.FOLDER / "gravity.npz",
        truth=depths_of(centres),
        observations=observations,
        samples=samples,
        seconds=10.0,
    )
    return centres


def posteriors(centres: Array) -> Posteriors:
    x, zeros = depths_of(centres), np.zeros((CASES, 1))
    y = APPLICATION.forward(x) + NARROW * np.random.default_rng(1).standard_normal((CASES, 20))
    return Posteriors(x=x[:, None], truth=x, y=y, log_prob=zeros, log_prob_truth=zeros[:, 0])


def test_gravity_has_the_noise_of_the_references_likelihood(settings: Settings) -> None:
    rows = APPLICATION.source(settings).draw(2000, seed=0, stream=0)
    miss = rows.y - APPLICATION.forward(rows.x.astype(float))
    np.testing.assert_allclose(miss.std(axis=0), NARROW, rtol=0.1)
    np.testing.assert_allclose(miss, NARROW * rows.noise, atol=1e-4)


def test_another_epoch_has_the_same_basins_with_fresh_noise(settings: Settings) -> None:
    rows = APPLICATION.source(settings).draw(500, seed=0, stream=0)
    again, other = (APPLICATION.fresh(settings, rows, stream=stream) for stream in (2, 3))
    np.testing.assert_array_equal(again.x, rows.x)
    np.testing.assert_allclose(again.y - NARROW * again.noise, rows.y - NARROW * rows.noise, atol=1e-4)
    for one, two in ((again, rows), (again, other)):
        assert abs(np.corrcoef(one.noise.ravel(), two.noise.ravel())[0, 1]) < 0.05


def test_a_model_that_samples_as_the_reference_does_agrees_with_it(settings: Settings, centres: Array) -> None:
    found = APPLICATION.findings(settings, Chains(centres), posteriors(centres))
    reference, misfit = found.metrics["reference"], found.metrics["station_misfit"]
    assert reference["cases"] == CASES
    assert abs(reference["c2st_leading"] - 0.5) < 0.08
    assert abs(reference["inside_central_90"] - 0.9) < 0.03
    assert abs(reference["width_ratio"] - 1) < 0.1
    assert misfit["mean"] == pytest.approx(misfit["truth"])  # the samples are the truth
    assert abs(misfit["truth"] / NARROW - 1) < 0.3
    assert png(found.sections[0].pictures["gravity"].figure).startswith(b"\x89PNG")


def test_a_model_that_is_too_wide_does_not(centres: Array) -> None:
    found = compare(Chains(centres, widened=2.0), read_references("gravity", CASES), seed=0)
    assert found.leading.min() > 0.7
    assert np.median(found.width) > 1.7


def test_leading_components_are_those_in_which_the_reference_varies_most() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    scale = np.array([9.0, 8, 7, 6, 5, 4, 0.1, 0.1, 0.1, 0.1])
    reference = rng.standard_normal((4000, 10)) * scale @ basis.T
    shifted = reference + basis[:, 8]  # ten deviations away, in a direction that hardly counts
    ours, theirs = leading_components(reference, shifted)
    assert ours.shape == theirs.shape == (4000, reference_posteriors.LEADING)
    assert abs(ours.mean(axis=0) - theirs.mean(axis=0)).max() < 0.15


def test_it_is_evaluated_without_references(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(APPLICATION.draw(settings), settings.prepared_folder)
    table, lesson = read_table(settings.prepared_folder), APPLICATION.learn(settings)
    model = lesson.blueprint.build()
    assert len(lesson.data.first[0]) == len(table.rows("train"))
    model.initialise(*lesson.data.first)
    evaluation = APPLICATION.evaluate(settings, model)
    assert "reference" not in evaluation.metrics
    assert np.isfinite(evaluation.metrics["negative_log_likelihood"])
    assert evaluation.metrics["station_misfit"]["mean"] > evaluation.metrics["station_misfit"]["truth"]
