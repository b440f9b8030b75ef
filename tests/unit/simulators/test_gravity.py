from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad

from flow_models.simulators.base import simulate_table
from flow_models.simulators.gravity import (
    CONTRAST,
    PRISMS,
    GravityInversion,
    depths_of,
    edge_offsets,
    latents_of,
    log_depth_prior,
    prism_attraction,
    sensitivity,
)

G = 6.6743e-11
MGAL = 1e5  # in m/s²


def test_a_wide_prism_pulls_as_the_bouguer_slab() -> None:
    slab = 2 * np.pi * G * CONTRAST * 3000 * MGAL
    assert prism_attraction(np.array(-1e6), np.array(1e6), np.array(3.0)) == pytest.approx(slab, rel=1e-5)


@pytest.mark.parametrize("edges", [(0.7, 1.7), (-0.4, 0.6), (-5.0, -4.0)])
def test_a_prism_pulls_as_the_sum_of_its_endless_rods(edges: tuple[float, float]) -> None:
    depth = 2.3
    sum_of_rods = dblquad(lambda z, s: z / (s**2 + z**2), *edges, 1e-9, depth)[0] * 1e3
    expected = 2 * G * CONTRAST * sum_of_rods * MGAL
    found = prism_attraction(np.array(edges[0]), np.array(edges[1]), np.array(depth))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_station_above_an_edge_feels_half_of_a_symmetric_prism() -> None:
    half = prism_attraction(np.array(0.0), np.array(1.0), np.array(2.0))
    assert 2 * half == pytest.approx(prism_attraction(np.array(-1.0), np.array(1.0), np.array(2.0)))


def test_gravity_is_the_sum_over_prisms_whatever_the_batch() -> None:
    simulator, rng = GravityInversion(), np.random.default_rng(0)
    x = simulator.draw_prior(2050, rng)
    y = simulator.simulate(x, rng)
    left, right = edge_offsets()
    for row in (0, 2049):
        by_hand = [sum(prism_attraction(left[k, j], right[k, j], x[row, j]) for j in range(PRISMS)) for k in range(20)]
        np.testing.assert_allclose(y[row], by_hand, rtol=1e-12)


def test_sensitivity_is_the_derivative_of_gravity() -> None:
    simulator, rng = GravityInversion(), np.random.default_rng(0)
    x, step = simulator.draw_prior(1, rng), 1e-5
    shifts = step * np.eye(PRISMS)
    numeric = (simulator.simulate(x + shifts, rng) - simulator.simulate(x - shifts, rng)).T / (2 * step)
    np.testing.assert_allclose(sensitivity(x)[0], numeric, rtol=1e-6)


def test_the_prior_is_positive_smooth_and_tapered() -> None:
    table = simulate_table(GravityInversion(), 20_000, seed=0)
    assert table.x.min() > 0
    log_depth, (mean, factor) = np.log(table.x), log_depth_prior()
    np.testing.assert_allclose(log_depth.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(log_depth.T), factor @ factor.T, atol=0.01)
    assert np.exp(mean[[0, -1]]).max() < 0.2
    assert np.exp(mean).max() == pytest.approx(2.0, abs=0.01)
    assert np.corrcoef(log_depth[:, 20], log_depth[:, 21])[0, 1] > 0.9


def test_depths_and_latents_are_one_bijection() -> None:
    latent = np.random.default_rng(0).standard_normal((5, PRISMS))
    np.testing.assert_allclose(latents_of(depths_of(latent)), latent, rtol=1e-8)
