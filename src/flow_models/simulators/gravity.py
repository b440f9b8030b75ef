"""Gravity over a sedimentary basin: depths of prisms under a line, and what they take from gravity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from flow_models.simulators.base import Array, Bounds

PRISMS = 40
PRISM_WIDTH = 1.0  # km
STATIONS = 20
CONTRAST = -400.0  # kg/m³, sediment less basement
GRAVITY_UNIT = 6.6743e-11 * 1e3 * 1e5  # G, for a density in kg/m³ and lengths in km, to mGal
NARROW = 0.1  # mGal, width of the likelihood that stands for "no noise": what a land survey resolves

MEDIAN_DEPTH = 2.0  # km, in the middle of the basin
LOG_SCALE = 0.5  # of the logarithm of depth
LENGTH = 6.0  # km, over which depths are alike
CHUNK = 2048


class GravityInversion:
    """Infer a basin's depths from the gravity along a line; noise-free and ill-posed.

    x: depths of 40 prisms, 1 km wide, endless across the line. log x is a Gaussian process: its mean that of a
    basin of 2 km with tapered ends, its scale 0.5, its kernel Matérn's of order 3/2 with length 6 km. So x > 0,
    and one affine map and an exponential lead from N(0, I) to the prior (:func:`depths_of`).
    y: vertical gravity at 20 stations on the surface, in mGal. A posterior takes N(y; f(x), 0.1² mGal²) for the exact
    observation (:data:`NARROW`), and so is a little wide: its central 90 % intervals cover 95 % of the depths where
    y is exact, and 90 % where y has that noise.
    """

    name = "gravity inversion"
    parameters: Sequence[str] = tuple(f"depth_{index} (km)" for index in range(1, PRISMS + 1))
    observations: Sequence[str] = tuple(f"gravity_{index} (mGal)" for index in range(1, STATIONS + 1))
    support: Sequence[Bounds] | None = ((0.0, None),) * PRISMS

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        """Depths, ``(number, 40)``, km."""
        return depths_of(rng.standard_normal((number, PRISMS)))

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """Gravity ``(n, 20)``, mGal, of depths ``(n, 40)``; the generator is left alone."""
        left, right = edge_offsets()
        rows = range(0, len(x), CHUNK)
        parts = [prism_attraction(left, right, x[row : row + CHUNK, None]).sum(axis=-1) for row in rows]
        return np.concatenate([*parts, np.empty((0, STATIONS))])


def prism_attraction(left: Array, right: Array, depth: Array, *, contrast: float = CONTRAST) -> Array:
    """Vertical attraction of prisms from the surface down to ``depth``, endless across the line, in mGal.

    It is 2GC∬ z/(s² + z²) ds dz = GC·[s·ln(1 + d²/s²) + 2d·arctan(s/d)] between the edges s, of contrast C and depth
    d, and becomes the Bouguer slab's 2πGCd when the edges are far away.

    Args:
        left: nearer edge less the station's place, km; the three are broadcast.
        right: the other edge, likewise.
        depth: positive, km.
        contrast: of density, kg/m³.

    References:
        Telford et al. 1990, "Applied geophysics", section 2.6; Blakely 1995, section 9.3.
    """
    return GRAVITY_UNIT * contrast * (_antiderivative(right, depth) - _antiderivative(left, depth))


def sensitivity(x: Array) -> Array:
    """∂gravity/∂depth, ``(n, 40)`` to ``(n, 20, 40)``, mGal/km: that of the strip at each prism's bottom."""
    (left, right), depth = edge_offsets(), x[:, None]
    angle: Array = np.arctan(right / depth) - np.arctan(left / depth)
    return 2 * GRAVITY_UNIT * CONTRAST * angle


def station_places() -> Array:
    """Of the stations along the line, ``(20,)``, km from its left end; none above the edge of a prism."""
    return np.linspace(PRISM_WIDTH / 2, (PRISMS - 0.5) * PRISM_WIDTH, STATIONS)


def prism_places() -> Array:
    """Of the prisms' middles, ``(40,)``, km from the line's left end."""
    return (np.arange(PRISMS) + 0.5) * PRISM_WIDTH


def edge_offsets() -> tuple[Array, Array]:
    """Left and right edges of the prisms less the stations' places, each ``(20, 40)``, km."""
    middle = prism_places() - station_places()[:, None]
    return middle - PRISM_WIDTH / 2, middle + PRISM_WIDTH / 2


def depths_of(latent: Array) -> Array:
    """The prior's bijection: N(0, I) ``(n, 40)`` to depths ``(n, 40)``, km."""
    mean, factor = log_depth_prior()
    depths: Array = np.exp(mean + latent @ factor.T)
    return depths


def latents_of(x: Array) -> Array:
    """The way back, from depths ``(n, 40)`` to what is N(0, I) under the prior."""
    mean, factor = log_depth_prior()
    latent: Array = np.linalg.solve(factor, (np.log(x) - mean).T).T
    return latent


def log_depth_prior() -> tuple[Array, Array]:
    """Mean ``(40,)`` and lower Cholesky factor ``(40, 40)`` of the Gaussian that log x has."""
    places = prism_places()[:, None]
    along = places[:, 0] / (PRISMS * PRISM_WIDTH)
    mean = np.log(MEDIAN_DEPTH * (1 - (2 * along - 1) ** 4))
    distance = np.sqrt(3) * cdist(places, places) / LENGTH
    factor: Array = np.linalg.cholesky((1 + distance) * np.exp(-distance))
    return mean, LOG_SCALE * factor


def _antiderivative(offset: Array, depth: Array) -> Array:
    far = np.where(offset == 0, 1.0, offset)  # s·ln(1 + d²/s²) vanishes at s = 0
    return offset * np.log1p((depth / far) ** 2) + 2 * depth * np.arctan(offset / depth)
