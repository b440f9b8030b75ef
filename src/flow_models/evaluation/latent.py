"""Where points lie in latent space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PLANE = 2


@dataclass(frozen=True)
class Plane:
    """The two directions in which a cloud of points is widest.

    Attributes:
        center: ``(d,)``.
        axes: ``(2, d)``, orthonormal rows.
        explained: ``(2,)``, each direction's share of the variance.
    """

    center: NDArray[np.float64]
    axes: NDArray[np.float64]
    explained: NDArray[np.float64]

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Coordinates ``(n, 2)`` of points ``(n, d)`` in the plane."""
        return (np.asarray(points, np.float64) - self.center) @ self.axes.T


def principal_plane(points: ArrayLike) -> Plane:
    """The first two principal components.

    Args:
        points: ``(n, d)`` with n > 2 and d > 1.

    Raises:
        ValueError: if there are too few points or dimensions.

    References:
        Pearson 1901, "On lines and planes of closest fit to systems of points in space".
    """
    p = np.asarray(points, np.float64)
    if p.ndim != _PLANE or min(p.shape[0] - 1, p.shape[1]) < _PLANE:
        raise ValueError(f"points have shape {p.shape}; a plane needs (n, d) with n > 2 and d > 1")
    center = p.mean(axis=0)
    _, widths, directions = np.linalg.svd(p - center, full_matrices=False)
    # The sign of a singular vector is arbitrary; this makes the picture the same everywhere.
    signs = np.sign(directions[[0, 1], np.abs(directions[:2]).argmax(axis=1)])
    return Plane(center, directions[:2] * signs[:, None], widths[:2] ** 2 / (widths**2).sum())


def linear_path(start: ArrayLike, end: ArrayLike, steps: int) -> NDArray[np.float64]:
    """Points ``(steps, d)`` on the straight line from ``start`` to ``end``, both ``(d,)``.

    Halfway, it passes nearer to the origin than either end, where a Gaussian has no mass.
    """
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * a + t * b


def spherical_path(start: ArrayLike, end: ArrayLike, steps: int) -> NDArray[np.float64]:
    """Points ``(steps, d)`` on the great arc from ``start`` to ``end``, both ``(d,)``.

    ``(sin((1 - t) Ω) a + sin(t Ω) b) / sin Ω`` with Ω the angle between the ends; the norm goes
    from one end's to the other's, so the path stays where a Gaussian has its mass. Ends in one
    direction, or opposite ones, have no single arc: they get the straight line.

    References:
        Shoemake 1985, "Animating rotation with quaternion curves"; White 2016, "Sampling
        generative networks", arXiv:1609.04468, section 2.
    """
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / lengths, -1, 1)) if lengths else 0.0
    if np.isclose(np.sin(angle), 0, atol=1e-6):
        return linear_path(a, b, steps)
    t = np.linspace(0, 1, steps)[:, None]
    return np.asarray((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))
