"""Which examples an application compares two models on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flow_models import data_stages
from flow_models.applications import find_application
from flow_models.data.tables import read_table
from flow_models.evaluation.likelihood import bits_per_dim, dequantise
from flow_models.settings import Settings


def test_images_are_compared_on_the_inliers_of_val_with_the_noise_of_evaluation(
    shards: Path, settings: Settings, model: Any, images: dict[str, np.ndarray]
) -> None:
    model.dimensions, model.context_width, model.bijector = 16, None, SimpleNamespace(context_width=None)
    frozen = find_application("image_anomaly").frozen(settings, model)
    inliers = np.concatenate([images["val/a"], images["val/b"]])[..., None]
    assert len(frozen) == len(inliers) == 20
    wanted = bits_per_dim(model.log_prob(dequantise(inliers, seed=settings.seed)), 16)
    np.testing.assert_allclose(np.sort(frozen.losses(model)), np.sort(wanted), rtol=1e-6)
    assert frozen.inversion_error(model) < 1e-6
    assert frozen.digest == find_application("image_anomaly").frozen(settings, model).digest


@pytest.mark.parametrize("noise", [0, 2])
def test_vectors_are_compared_on_the_test_rows_with_the_noise_where_the_model_has_it(
    noise: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.model_validate(
        {
            "application": "inverse_kinematics",
            "simulation": {"train": 100, "test": 30},
            "model": {"architecture": "realnvp"},
        }
    )
    data_stages.simulate(settings)
    test = read_table(settings.prepared_folder).rows("test")
    application = find_application("inverse_kinematics")
    frozen = application.frozen(settings, SimpleNamespace(partition=SimpleNamespace(noise=noise)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(frozen.x, np.hstack([test.x, test.noise]) if noise else test.x)
    np.testing.assert_array_equal(frozen.context, test.y)
    assert frozen.unit == "nats"
