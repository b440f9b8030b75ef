"""Clouds of points in the plane, with their exact densities where these are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import i0e, logsumexp
from sklearn.datasets import make_moons

from flow_models.errors import FlowModelsError
from flow_models.simulators.base import Array

ENTROPY_DRAWS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PointSet:
    """A distribution in the plane.

    Attributes:
        name: of the set.
        draw: ``draw(number, rng)`` gives independent points, ``(number, 2)``.
        log_prob: log-density of points ``(n, 2)``, ``(n,)``, nats; ``None`` where it has no closed form.
    """

    name: str
    draw: Callable[[int, np.random.Generator], Array]
    log_prob: Callable[[Array], Array] | None = None

    def entropy(self, rng: np.random.Generator, *, draws: int = ENTROPY_DRAWS) -> tuple[float, float]:
        """−E[log p] in nats by Monte Carlo, and its standard error: the best test loss that a model can have.

        Raises:
            FlowModelsError: if the density is not known.
        """
        if self.log_prob is None:
            raise FlowModelsError(f"{self.name}: its density is not known, so neither is its entropy; compare samples")
        log_density = self.log_prob(self.draw(draws, rng))
        return -float(log_density.mean()), float(log_density.std() / np.sqrt(draws))


MOONS_NOISE = 0.1


def draw_moons(number: int, rng: np.random.Generator) -> Array:
    """scikit-learn's two half circles of radius 1, noise 0.1."""
    points: Array = make_moons(number, noise=MOONS_NOISE, random_state=int(rng.integers(2**31)))[0]
    return points


GAUSSIANS = 8
GAUSSIANS_RADIUS = 2.0
GAUSSIANS_WIDTH = 0.2


def draw_gaussians(number: int, rng: np.random.Generator) -> Array:
    """Eight equally likely Gaussians of width 0.2 on a circle of radius 2."""
    centre = _gaussian_centres()[rng.integers(GAUSSIANS, size=number)]
    return centre + GAUSSIANS_WIDTH * rng.standard_normal((number, 2))


def log_prob_gaussians(x: Array) -> Array:
    """Of :func:`draw_gaussians`."""
    squares = ((x[:, None] - _gaussian_centres()) ** 2).sum(axis=-1)
    log_density: Array = logsumexp(-squares / (2 * GAUSSIANS_WIDTH**2), axis=1)
    return log_density - np.log(GAUSSIANS * 2 * np.pi * GAUSSIANS_WIDTH**2)


def _gaussian_centres() -> Array:
    angles = 2 * np.pi * np.arange(GAUSSIANS) / GAUSSIANS
    return GAUSSIANS_RADIUS * np.column_stack([np.cos(angles), np.sin(angles)])


SPIRALS_NOISE = 0.1
SPIRALS_TURNS = 1.5


def draw_spirals(number: int, rng: np.random.Generator) -> Array:
    """Two Archimedean arms of one and a half turns, radius up to π, noise 0.1.

    Angles are drawn as the square root of a uniform, which spreads the points evenly along the arms.
    """
    angle = 2 * np.pi * SPIRALS_TURNS * np.sqrt(rng.random(number))
    arm = rng.choice([-1.0, 1.0], number)
    points = (arm * angle / 3)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    noisy: Array = points + SPIRALS_NOISE * rng.standard_normal((number, 2))
    return noisy


BOARD_HALF = 4  # the board is [-4, 4]², of 4 by 4 squares with sides of 2
BOARD_SIDE = 2


def draw_checkerboard(number: int, rng: np.random.Generator) -> Array:
    """Uniform on the eight dark squares of a 4 by 4 board over [−4, 4]²."""
    row = rng.integers(4, size=number)
    column = 2 * rng.integers(2, size=number) + row % 2
    corner: Array = BOARD_SIDE * np.column_stack([column, row]) - BOARD_HALF
    return corner + BOARD_SIDE * rng.random((number, 2))


def log_prob_checkerboard(x: Array) -> Array:
    """Of :func:`draw_checkerboard`; −∞ off the dark squares."""
    square = np.floor((x + BOARD_HALF) / BOARD_SIDE)
    dark = (abs(x) < BOARD_HALF).all(axis=1) & (square.sum(axis=1) % 2 == 0)
    return np.where(dark, -np.log(8 * BOARD_SIDE**2), -np.inf)


RINGS_RADII = np.array([1.0, 2.0, 3.0])
RINGS_NOISE = 0.1


def draw_rings(number: int, rng: np.random.Generator) -> Array:
    """Three equally likely circles of radii 1, 2, 3, noise 0.1.

    As scikit-learn's ``make_circles``, but with random angles: its even ones are not independent draws.
    """
    radius, angle = rng.choice(RINGS_RADII, number), 2 * np.pi * rng.random(number)
    circle = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    noisy: Array = circle + RINGS_NOISE * rng.standard_normal((number, 2))
    return noisy


def log_prob_rings(x: Array) -> Array:
    """Of :func:`draw_rings`: a Gaussian averaged over a circle is exp(−(r² + R²)/2σ²)·I₀(rR/σ²)/2πσ²."""
    radius, variance = np.hypot(x[:, 0], x[:, 1])[:, None], RINGS_NOISE**2
    # i0e(u) = exp(−u)·I₀(u), which does not overflow, leaves (r − R)² in the exponent.
    each = np.log(i0e(radius * RINGS_RADII / variance)) - (radius - RINGS_RADII) ** 2 / (2 * variance)
    log_density: Array = logsumexp(each, axis=1)
    return log_density - np.log(len(RINGS_RADII) * 2 * np.pi * variance)


POINT_SETS = {
    each.name: each
    for each in (
        PointSet(name="two_moons", draw=draw_moons),
        PointSet(name="eight_gaussians", draw=draw_gaussians, log_prob=log_prob_gaussians),
        PointSet(name="two_spirals", draw=draw_spirals),
        PointSet(name="checkerboard", draw=draw_checkerboard, log_prob=log_prob_checkerboard),
        PointSet(name="rings", draw=draw_rings, log_prob=log_prob_rings),
    )
}
