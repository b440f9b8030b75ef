from __future__ import annotations

import numpy as np
import pytest

from flow_models.errors import FlowModelsError
from flow_models.simulators.point_sets import POINT_SETS

KNOWN = sorted(name for name, each in POINT_SETS.items() if each.log_prob)
GRID_AXIS = np.linspace(-5, 5, 1001)[:-1] + 0.005


@pytest.mark.parametrize("name", POINT_SETS)
def test_points_are_reproducible_and_lie_in_a_window_of_five(name: str) -> None:
    points, again = (POINT_SETS[name].draw(1001, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(points, again)
    assert points.shape == (1001, 2)
    assert abs(points).max() < 5
    assert not np.isin(points, POINT_SETS[name].draw(1001, np.random.default_rng(1))).any()


def test_the_densities_of_the_gaussians_the_rings_and_the_board_are_known() -> None:
    assert KNOWN == ["checkerboard", "eight_gaussians", "rings"]


@pytest.mark.parametrize("name", KNOWN)
def test_the_density_integrates_to_one(name: str) -> None:
    assert abs(density_on_grid(name).sum() * 0.01**2 - 1) < 1e-3


@pytest.mark.parametrize("name", KNOWN)
def test_the_density_is_that_of_the_draws(name: str) -> None:
    points = POINT_SETS[name].draw(200_000, np.random.default_rng(0))
    counts = np.histogram2d(points[:, 1], points[:, 0], bins=20, range=[[-5, 5]] * 2)[0]
    expected = density_on_grid(name).reshape(20, 50, 20, 50).sum(axis=(1, 3)) * 0.01**2 * len(points)
    filled = expected > 20
    assert np.mean((counts - expected)[filled] ** 2 / expected[filled]) < 1.4
    assert counts[expected < 1e-3].sum() == 0


def density_on_grid(name: str) -> np.ndarray:
    grid = np.stack(np.meshgrid(GRID_AXIS, GRID_AXIS), axis=-1).reshape(-1, 2)
    return np.exp(POINT_SETS[name].log_prob(grid)).reshape(1000, 1000)


def test_entropies_are_those_of_closed_forms() -> None:
    rng = np.random.default_rng(0)
    board, error = POINT_SETS["checkerboard"].entropy(rng, draws=1000)
    assert (round(board - np.log(32), 9), round(error, 9)) == (0, 0)
    gaussians, error = POINT_SETS["eight_gaussians"].entropy(rng, draws=100_000)
    assert abs(gaussians - np.log(8 * 2 * np.pi * np.e * 0.2**2)) < 4 * error + 1e-3  # the modes hardly overlap


def test_an_unknown_density_has_no_entropy() -> None:
    with pytest.raises(FlowModelsError, match="two_moons: its density is not known"):
        POINT_SETS["two_moons"].entropy(np.random.default_rng(0))
