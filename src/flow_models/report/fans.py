"""Fans of posterior curves: what is inferred along a line, and how it fits the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flow_models.report.theme import INK, colour, dash, label, panels

Array: TypeAlias = NDArray[np.floating[Any]]
_LEVELS = ((0.05, 0.95, 0.22), (0.25, 0.75, 0.42))  # of the first set: quantiles, opacity


@dataclass(frozen=True, kw_only=True)
class Fan:
    """Curves of posterior samples over one axis.

    Attributes:
        places: where the curves are known, ``(k,)``.
        curves: by set, ``(n, k)``: the first as a fan of its central 50 % and 90 %, the others as outlines of 90 %.
        truth: ``(k,)``; or what was observed, if ``observed``.
        x: label of the places.
        y: label of the curves.
        title: of the panel.
        observed: the truth is data, drawn as points.
        downward: places are depths, on a vertical axis that points down.
        flipped: curves are depths, which grow downward.
    """

    places: Array
    curves: Mapping[str, Array]
    truth: Array
    x: str
    y: str
    title: str
    observed: bool = False
    downward: bool = False
    flipped: bool = False


def fans(each: Sequence[Fan]) -> Figure:
    """One panel a fan."""
    figure, axes = panels(len(each), width=4.4, height=3.6)
    for axis, fan in zip(axes, each, strict=True):
        _draw(axis, fan)
    lines, texts = axes[0].get_legend_handles_labels()
    more = axes[-1].get_legend_handles_labels() if len(each) > 1 else ([], [])
    for line, text in zip(*more, strict=True):
        if text not in texts:
            lines, texts = [*lines, line], [*texts, text]
    figure.legend(lines, texts, fontsize=8, frameon=False, labelcolor=INK, loc="outside upper left", ncols=len(texts))
    return figure


def _draw(axis: Axes, fan: Fan) -> None:
    (name, first), *others = fan.curves.items()
    fill = axis.fill_betweenx if fan.downward else axis.fill_between
    for low, high, opacity in _LEVELS:
        fill(
            fan.places,
            *np.quantile(first, [low, high], axis=0),
            color=colour(0),
            alpha=opacity,
            lw=0,
            label=f"{name}, central {high - low:.0%}",
        )
    for number, (name, curves) in enumerate(others, start=1):
        for index, edge in enumerate(np.quantile(curves, [0.05, 0.95], axis=0)):
            text = f"{name}, central 90%" if index == 0 else None
            _line(axis, fan, edge, color=colour(number), linestyle=dash(number), linewidth=1.2, label=text)
    if fan.observed:
        _line(axis, fan, fan.truth, color="#000000", marker="o", markersize=3.5, linestyle="", label="observed")
    else:
        _line(axis, fan, fan.truth, color="#000000", linewidth=1.4, label="truth")
    label(axis, x=fan.y if fan.downward else fan.x, y=fan.x if fan.downward else fan.y, title=fan.title)
    if fan.downward or fan.flipped:
        axis.invert_yaxis()


def _line(axis: Axes, fan: Fan, values: Array, **options: Any) -> None:
    axis.plot(*((values, fan.places) if fan.downward else (fan.places, values)), **options)
