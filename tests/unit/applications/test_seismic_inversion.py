from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow_models.applications import reference_posteriors
from flow_models.applications.seismic_inversion import APPLICATION, velocities_at
from flow_models.data.tables import read_table, write_table
from flow_models.report.theme import png
from flow_models.settings import Settings
from flow_models.simulators.seismic import NOISE, SeismicInversion

OF_ITS_BOUNDS = np.array(SeismicInversion.support, float).T


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {
            "application": "seismic_inversion",
            "simulation": {"train": 300, "test": 40},
            "model": {"architecture": "spline_coupling", "layers": 2, "hidden": [8], "whiten": True},
            "evaluate": {"posteriors": 20, "draws": 20, "references": 1, "local_pairs": 0},
        }
    )


def test_noise_is_kept_beside_the_observation_that_it_is_in(settings: Settings) -> None:
    source = APPLICATION.source(settings)
    rows = source.draw(50, seed=0, stream=0)
    assert rows.noise.shape == rows.y.shape
    np.testing.assert_allclose(rows.y - NOISE * rows.noise, APPLICATION.forward(rows.x.astype(float)), atol=1e-4)
    assert len(source.columns.noise) == len(source.columns.y)


def test_velocity_at_a_depth_is_that_of_the_layer_there() -> None:
    model = np.array([[2.0, 3.0, 3.5, 4.0, 4.5, 2.0, 5.0, 10.0, 20.0]])
    np.testing.assert_array_equal(
        velocities_at(model, np.array([0.0, 1.9, 2.1, 6.9, 7.1, 16.9, 36.9, 37.1, 60.0])),
        [[2.0, 2.0, 3.0, 3.0, 3.5, 3.5, 4.0, 4.5, 4.5]],
    )


@pytest.mark.parametrize("conditioning", ["context", "parts"])
def test_either_formulation_learns_and_is_evaluated_beside_its_reference(
    conditioning: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    partition = settings.partition.model_copy(update={"conditioning": conditioning})
    settings = settings.model_copy(update={"partition": partition})
    monkeypatch.setattr(reference_posteriors, "WIDE", (8,))
    write_table(APPLICATION.draw(settings), settings.prepared_folder)
    rows = read_table(settings.prepared_folder).rows("test")
    reference_posteriors.FOLDER.mkdir(parents=True)
    np.savez(
        reference_posteriors.FOLDER / "seismic.npz",
        truth=rows.x[:2],
        observations=rows.y[:2],
        samples=np.random.default_rng(0).uniform(*OF_ITS_BOUNDS, (2, 50, 9)),
        seconds=10.0,
    )
    lesson = APPLICATION.learn(settings)
    model = lesson.blueprint.build()
    model.initialise(*lesson.data.first)
    assert model.dimensions == (9 if conditioning == "context" else 9 + 16)
    evaluation = APPLICATION.evaluate(settings, model)
    assert evaluation.metrics["reference"]["cases"] == 1
    assert evaluation.metrics["resimulation_error"]["failed"] < 0.01
    assert png(evaluation.figures["seismic"].figure).startswith(b"\x89PNG")
