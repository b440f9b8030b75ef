"""Surface waves over a layered Earth: how fast Rayleigh waves of each period travel."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.polynomial.polynomial import polyval

from flow_models.simulators.base import Array, Bounds

LAYERS = 5  # the last is the half-space below
VELOCITY_BOUNDS = ((1.5, 3.0), (2.2, 3.6), (2.8, 4.0), (3.2, 4.6), (3.8, 4.8))  # km/s, faster with depth
THICKNESS_BOUNDS = ((1.0, 4.0), (4.0, 12.0), (8.0, 20.0), (12.0, 28.0))  # km
PERIODS = np.geomspace(3, 60, 16)  # s
NOISE = 0.02  # km/s, standard deviation of a phase velocity

# Brocher 2005: compressional velocity (km/s) of shear velocity, eq. 9; density (g/cm³) of the former, eq. 1.
COMPRESSIONAL = (0.9409, 2.0947, -0.8206, 0.2683, -0.0251)
DENSITY = (0.0, 1.6612, -0.4721, 0.0671, -0.0043, 0.000106)

# km/s; surf96 looks for a change of sign in such steps, then refines the root. In 20,000 draws of the prior the
# coarse step found what the fine one did, in 6/10 of the time, but for one model, which the fine one then mended.
SEARCH_STEPS = (0.02, 0.005)
HALF_SPACE = 1000.0  # km; surf96 does not look at the last thickness


class SeismicInversion:
    """Infer a layered Earth from noisy phase velocities of Rayleigh waves.

    x: shear velocities of four layers and the half-space below, km/s, then the four thicknesses, km; uniform within
    bounds that grow with depth. A layer may be slower than the one above.
    y: phase velocities of the fundamental mode at 16 periods from 3 to 60 s, km/s, each with Gaussian noise of
    0.02 km/s. Compressional velocity and density follow shear velocity by Brocher's relations.

    References:
        Brocher 2005, "Empirical relations between elastic wavespeeds and density in the Earth's crust",
        eqs. 1 and 9; Herrmann 2013, "Computer programs in seismology" (surf96, which ``disba`` is).
    """

    name = "seismic inversion"
    parameters: Sequence[str] = (
        *(f"velocity_{index} (km/s)" for index in range(1, LAYERS + 1)),
        *(f"thickness_{index} (km)" for index in range(1, LAYERS)),
    )
    observations: Sequence[str] = tuple(f"phase_velocity_{period:.3g}s (km/s)" for period in PERIODS)
    support: Sequence[Bounds] | None = VELOCITY_BOUNDS + THICKNESS_BOUNDS

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        """Models, ``(number, 9)``."""
        lowest, highest = np.array(VELOCITY_BOUNDS + THICKNESS_BOUNDS).T
        return lowest + (highest - lowest) * rng.random((number, len(lowest)))

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        """Noisy phase velocities ``(n, 16)``, km/s, of models ``(n, 9)``; NaN where there is no such wave."""
        clean = phase_velocities(x)
        return clean + NOISE * rng.standard_normal(clean.shape)


def phase_velocities(x: Array) -> Array:
    """Rayleigh waves of models ``(n, 9)``, without noise: ``(n, 16)``, km/s.

    About 150 µs a model on one core, after surf96 is compiled. A row is NaN where it finds no fundamental mode.
    """
    from disba import DispersionError, PhaseDispersion

    thickness = np.column_stack([x[:, LAYERS:], np.full(len(x), HALF_SPACE)])
    layers = np.stack([thickness, *elastic(x[:, :LAYERS])], axis=1)
    found = np.full((len(x), len(PERIODS)), np.nan)
    for step in SEARCH_STEPS:
        for row in np.flatnonzero(np.isnan(found[:, 0])):
            with suppress(DispersionError):
                found[row] = PhaseDispersion(*layers[row], dc=step)(PERIODS).velocity
    return found


def elastic(velocity: Array) -> tuple[Array, Array, Array]:
    """Compressional velocity, shear velocity (km/s) and density (g/cm³) of shear velocities, any shape."""
    compressional: Array = polyval(velocity, COMPRESSIONAL)
    density: Array = polyval(compressional, DENSITY)
    return compressional, velocity, density
