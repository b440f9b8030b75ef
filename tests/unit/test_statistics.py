from __future__ import annotations

import numpy as np
import pytest

from flow_models.model import FlowModel
from flow_models.statistics import latent_statistics, statistic_names

PARTS = [(2, 2, 12), (4, 4, 6)]  # coarsest first
GLOW = {"image_shape": (8, 8, 3), "levels": 2, "steps": 1, "hidden_channels": 4}


def test_each_statistic_of_white_noise_has_mean_0_and_deviation_1() -> None:
    values = np.asarray(latent_statistics(np.random.default_rng(0).normal(size=(4000, 144)), PARTS))
    names = statistic_names(PARTS)
    assert names == [f"z{level}.{name}" for level in (2, 1) for name in ("mean", "square", "vertical", "horizontal")]
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=0.07)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=0.06)


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_that_are_alike_are_told_with_their_direction(axis: int) -> None:
    piece = np.random.default_rng(1).normal(size=(4, 4, 6))
    piece = np.repeat(np.take(piece, [0, 2], axis=axis), 2, axis=axis)
    z = np.concatenate([np.zeros(48), piece.ravel()])[None]
    values = dict(zip(statistic_names(PARTS), np.asarray(latent_statistics(z, PARTS))[0], strict=True))
    alike, other = ("z1.vertical", "z1.horizontal")[:: 1 if axis == 0 else -1]
    assert values[alike] > 3
    assert abs(values[other]) < 3


def test_a_vector_has_no_neighbours() -> None:
    assert statistic_names([(5,)]) == ["z1.mean", "z1.square"]
    assert latent_statistics(np.zeros((3, 5)), [(5,)]).shape == (3, 2)


def test_a_vector_cannot_stand_upside_down() -> None:
    model = FlowModel("realnvp", {"features": 5, "layers": 1, "hidden": [4]})
    assert model.statistic_names[:3] == ["log_prob", "log_det", "z1.mean"]


@pytest.mark.parametrize(
    "base", [None, {"kind": "class_means", "y": 5, "shares": [0.5, 0.5]}], ids=["plain", "classes"]
)
def test_the_statistics_of_a_model_are_those_of_its_likelihood_and_its_latents(base: dict | None) -> None:
    model, x = FlowModel("glow", GLOW, base=base), np.random.default_rng(0).uniform(0, 256, (3, 8, 8, 3)).astype("f4")
    columns = dict(zip(model.statistic_names, np.asarray(model.statistics(x)).T, strict=True))
    z, log_det = model.bijector.inverse_and_log_det(x)
    np.testing.assert_allclose(columns["log_prob"], model.marginal_log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(columns["log_det"], np.broadcast_to(log_det, 3), rtol=1e-5)
    for name, turned in (("than_upside_down", x[:, ::-1]), ("than_mirrored", x[:, :, ::-1])):
        ratio = model.marginal_log_prob(x) - model.marginal_log_prob(turned)
        np.testing.assert_allclose(columns[name], ratio, rtol=1e-3, atol=1e-2)
    coarsest, finest = np.split(np.asarray(z), 2, axis=1)
    np.testing.assert_allclose(columns["z2.mean"], coarsest.sum(axis=1) / np.sqrt(96), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(columns["z1.square"], (finest**2 - 1).sum(axis=1) / np.sqrt(192), rtol=1e-3)
