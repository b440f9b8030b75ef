from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from flow_models.simulators.base import simulate_table
from flow_models.simulators.seismic import LAYERS, NOISE, PERIODS, SeismicInversion, elastic, phase_velocities


def rayleigh_velocity(shear: float) -> float:
    """Of a homogeneous half-space, the root of Rayleigh's equation."""
    compressional = elastic(np.array(shear))[0]

    def equation(c: float) -> float:
        roots = np.sqrt((1 - (c / compressional) ** 2) * (1 - (c / shear) ** 2))
        return (2 - (c / shear) ** 2) ** 2 - 4 * roots

    return brentq(equation, 0.5 * shear, 0.999 * shear)


def test_brochers_relations_give_granite() -> None:
    compressional, _, density = elastic(np.array(3.5))
    assert compressional == pytest.approx(5.97, abs=0.02)
    assert density == pytest.approx(2.71, abs=0.02)


def test_waves_on_a_homogeneous_earth_travel_with_rayleighs_velocity_at_every_period() -> None:
    x = np.array([[3.0] * LAYERS + [2.0, 5.0, 10.0, 20.0]])
    np.testing.assert_allclose(phase_velocities(x), rayleigh_velocity(3.0), rtol=1e-5)


def test_short_waves_feel_the_top_and_long_ones_the_bottom() -> None:
    thick_top = np.array([[2.0, 3.0, 3.5, 4.0, 4.5, 60.0, 5.0, 10.0, 20.0]])
    assert phase_velocities(thick_top)[0, 0] == pytest.approx(rayleigh_velocity(2.0), rel=1e-4)
    thin_top = np.array([[2.0, 4.5, 4.5, 4.5, 4.5, 0.02, 5.0, 10.0, 20.0]])
    assert phase_velocities(thin_top)[0, -1] == pytest.approx(rayleigh_velocity(4.5), rel=1e-3)


def test_an_earth_on_mud_guides_no_such_wave_and_is_nan_and_its_neighbours_are_not() -> None:
    mud = [4.0, 4.0, 4.0, 4.0, 1.0, 2.0, 5.0, 10.0, 20.0]
    rock = [2.0, 3.0, 3.5, 4.0, 4.5, 2.0, 5.0, 10.0, 20.0]
    np.testing.assert_array_equal(np.isnan(phase_velocities(np.array([rock, mud, rock]))).all(axis=1), [0, 1, 0])


def test_what_the_coarse_search_steps_over_the_fine_one_finds() -> None:
    x = np.array([[2.12, 3.509, 2.815, 3.812, 3.917, 1.44, 10.038, 19.605, 17.463]])
    assert phase_velocities(x)[0, 0] == pytest.approx(2.8813, abs=1e-4)


def test_the_prior_lies_within_its_support_and_fills_it() -> None:
    x = SeismicInversion().draw_prior(10_000, np.random.default_rng(0))
    lowest, highest = np.array(SeismicInversion.support).T
    assert ((x >= lowest) & (x <= highest)).all()
    np.testing.assert_allclose(x.min(axis=0), lowest, atol=0.01)
    np.testing.assert_allclose(x.max(axis=0), highest, atol=0.01)


def test_a_table_is_reproducible_and_its_noise_has_the_stated_width() -> None:
    table, again = (simulate_table(SeismicInversion(), 500, seed=1, tolerated_failures=0.01) for _ in range(2))
    np.testing.assert_array_equal(table.y, again.y)
    noise = table.y - phase_velocities(table.x)
    assert noise.shape == (500, len(PERIODS))
    assert noise.std() == pytest.approx(NOISE, rel=0.03)
    assert abs(noise.mean()) < 4 * NOISE / np.sqrt(noise.size)
