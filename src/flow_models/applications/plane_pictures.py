"""Pictures of a density in the plane: points, heat maps, and the grid of the latent side carried into the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_models.report.page import Picture
from flow_models.report.theme import INK, colour, label, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Density: TypeAlias = Callable[[NDArray[np.float32]], Any]
Frame: TypeAlias = tuple[float, float, float, float]

_PIXELS = 160  # of a heat map, along each side
_SHOWN = 4000  # points of a scatter plot
_LINE = np.linspace(-3, 3, 1201)
_VALUES = np.linspace(-3, 3, 13)


def frame_around(points: ArrayLike) -> Frame:
    """Left, right, bottom and top of a square with the points ``(n, 2)`` and a margin of 8 %."""
    x = np.asarray(points, np.float64)
    center, half = (x.max(axis=0) + x.min(axis=0)) / 2, 0.58 * np.ptp(x, axis=0).max()
    return center[0] - half, center[0] + half, center[1] - half, center[1] + half


def points_beside(sets: Mapping[str, ArrayLike], *, names: tuple[str, str]) -> Picture:
    """Sets of points ``(n, 2)``, a panel each, in the frame of the first."""
    figure, axes = panels(len(sets), width=3.4, height=3.4)
    frame = frame_around(next(iter(sets.values())))
    for number, (axis, (name, points)) in enumerate(zip(axes, sets.items(), strict=True)):
        x, y = np.asarray(points)[:_SHOWN].T
        axis.scatter(x, y, s=3, color=colour(number), alpha=0.5, lw=0)
        _framed(axis, frame, names, title=name)
    return Picture(
        figure,
        "Data and samples",
        "Points that took no part in training beside as many drawn from the model; what it draws outside the frame of "
        "the data is not shown.",
        "Scatter plots of " + " and of ".join(sets) + ", side by side.",
    )


def heat_maps(densities: Mapping[str, Density], frame: Frame, *, names: tuple[str, str]) -> Picture:
    """Densities over a frame, a panel each, on one scale of colours; each maps ``(n, 2)`` to log-densities ``(n,)``."""
    left, right, bottom, top = frame
    x, y = np.linspace(left, right, _PIXELS), np.linspace(bottom, top, _PIXELS)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    values = {
        name: np.exp(np.asarray(log_prob(grid), np.float64)).reshape(_PIXELS, _PIXELS)
        for name, log_prob in densities.items()
    }
    # The last one is the truth where it is known, and has no spikes.
    highest = np.quantile(list(values.values())[-1], 0.999)
    figure, axes = panels(len(values), width=3.9, height=3.4)
    for axis, (name, value) in zip(axes, values.items(), strict=True):
        image = axis.imshow(value, extent=frame, origin="lower", cmap="cividis", vmin=0, vmax=highest)
        _framed(axis, frame, names, title=name)
        axis.grid(visible=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("density (per unit of area)", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, labelcolor=INK)
    return Picture(
        figure,
        "Density",
        "The exact density of the model at every point, on a linear scale"
        + (", beside the true one." if len(values) > 1 else "."),
        "Heat map of " + " beside ".join(values) + ".",
    )


def warped_grid(decode: Density, frame: Frame, *, names: tuple[str, str]) -> Picture:
    """The grid of z over ±3, and where the model carries it: ``decode`` maps ``(n, 2)`` to ``(n, 2)``."""
    figure, axes = panels(2, width=3.4, height=3.4)
    for number in (0, 1):
        lines = np.empty((len(_VALUES), len(_LINE), 2), np.float32)
        lines[..., number], lines[..., 1 - number] = _VALUES[:, None], _LINE
        carried = np.asarray(decode(lines.reshape(-1, 2))).reshape(lines.shape)
        for axis, curves in zip(axes, (lines, carried), strict=True):
            for curve, value in zip(curves, _VALUES, strict=True):
                # Density thins outwards; so does the ink.
                axis.plot(*curve.T, color=colour(number), linewidth=1.5 - 0.35 * abs(value), alpha=0.9)
            axis.plot([], [], color=colour(number), label=f"z_{number + 1} constant")
    _framed(axes[0], (-3.3, 3.3, -3.3, 3.3), ("z_1", "z_2"), title="latent side")
    _framed(axes[1], frame, names, title="carried into the data")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return Picture(
        figure,
        "The latent grid, carried into the data",
        "Lines of constant z, from -3 to 3 in steps of 0.5, thinner outwards. Where they crowd the density is high; "
        "a region that the data leave empty is crossed by few.",
        "A square grid in the latent plane, and the same grid bent into the shape of the data.",
    )


def _framed(axis: Axes, frame: Frame, names: tuple[str, str], *, title: str) -> None:
    label(axis, x=names[0], y=names[1], title=title)
    axis.set(xlim=frame[:2], ylim=frame[2:], aspect="equal")
