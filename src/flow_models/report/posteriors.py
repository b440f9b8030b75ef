"""Figures of posteriors: their calibration, recovery of the truth, and marginals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from flow_models.report.theme import INK, colour, dash, label, panels

_NAMED = 7  # lines that a legend can tell apart
_BAND = "#b6bfc9"
_BINS = 30


@dataclass(frozen=True)
class Coverage:
    """Coverage ``(k,)`` of regions at nominal levels ``(k,)``, and the band of a right posterior if there is one."""

    levels: NDArray[np.float64]
    fractions: NDArray[np.float64]
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None


def rank_differences(
    points: ArrayLike, ecdf: ArrayLike, *, lower: ArrayLike, upper: ArrayLike, names: Sequence[str]
) -> Figure:
    """ECDF of each parameter's ranks, less the diagonal, in the band of uniform ranks (Säilynoja et al. 2022).

    Args:
        points: ``(k,)`` in (0, 1).
        ecdf: ``(k, p)``.
        lower: of the band, ``(k,)``.
        upper: of the band, ``(k,)``.
        names: of the ``p`` parameters; where they are many, only those that leave the band are named.
    """
    z, curves = np.asarray(points, np.float64), np.asarray(ecdf, np.float64)
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    ends = [0, *z, 1]
    figure, (axis,) = panels(1, width=6.6, height=3.4)
    axis.fill_between(ends, [0, *(low - z), 0], [0, *(high - z), 0], color=_BAND, alpha=0.45, lw=0, label="95 % band")
    outside = ((curves < low[:, None]) | (curves > high[:, None])).any(axis=0)
    few = len(names) <= _NAMED
    named = range(len(names)) if few else np.flatnonzero(outside)[:_NAMED]
    for index in range(len(names)):
        if index not in named:
            axis.plot(ends, [0, *(curves[:, index] - z), 0], color="#57606a", linewidth=0.6, alpha=0.6)
    for number, index in enumerate(named):
        line = [0, *(curves[:, index] - z), 0]
        axis.plot(ends, line, color=colour(number), linestyle=dash(number), linewidth=1.4, label=names[index])
    label(axis, x="rank of the truth among its samples, as a share", y="ECDF less its expectation")
    axis.legend(fontsize=8, frameon=False, labelcolor=INK, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def coverage_curves(curves: Mapping[str, Coverage]) -> Figure:
    """One panel a kind of region: which share of the truths lies inside, against the level that it should be."""
    figure, axes = panels(len(curves), width=3.3, height=3.4)
    for axis, (title, curve) in zip(axes, curves.items(), strict=True):
        if curve.lower is not None and curve.upper is not None:
            low, high = [0, *curve.lower, 1], [0, *curve.upper, 1]
            axis.fill_between([0, *curve.levels, 1], low, high, color=_BAND, alpha=0.45, lw=0, label="95 % band")
        axis.plot([0, 1], [0, 1], color="#57606a", linewidth=0.8, linestyle=":", label="calibrated")
        axis.plot([0, *curve.levels, 1], [0, *curve.fractions, 1], color=colour(0), linewidth=1.6, label="measured")
        label(axis, x="nominal level", y="share of truths inside", title=title)
        axis.set(aspect="equal", xlim=(0, 1), ylim=(0, 1))
    axes[0].legend(fontsize=8, frameon=False, labelcolor=INK, loc="upper left")
    return figure


def recovery(truth: ArrayLike, *, middle: ArrayLike, low: ArrayLike, high: ArrayLike, names: Sequence[str]) -> Figure:
    """One panel a parameter: posterior median and interval against the truth.

    Args:
        truth: ``(n, p)``.
        middle: ``(n, p)``.
        low: ``(n, p)``, lower end of the interval.
        high: ``(n, p)``, upper end.
        names: of the parameters, with units.
    """
    t, m, a, b = (np.asarray(each, np.float64) for each in (truth, middle, low, high))
    figure, axes = panels(len(names), columns=4, width=2.7, height=2.7)
    for index, axis in enumerate(axes):
        ends = [t[:, index].min(), t[:, index].max()]
        axis.plot(ends, ends, color="#57606a", linewidth=0.8, linestyle=":")
        axis.vlines(t[:, index], a[:, index], b[:, index], color=colour(5), linewidth=0.8, alpha=0.5)
        axis.scatter(t[:, index], m[:, index], s=7, color=colour(0), lw=0)
        label(axis, x="true value", y="posterior", title=names[index])
    return figure


def marginals(samples: Mapping[str, ArrayLike], *, names: Sequence[str], truth: ArrayLike | None = None) -> Figure:
    """One panel a parameter, one outline a set of samples.

    Args:
        samples: ``(number, p)`` by set.
        names: of the parameters, with units.
        truth: ``(p,)``, drawn as a line.
    """
    sets = {name: np.asarray(values, np.float64) for name, values in samples.items()}
    figure, axes = panels(len(names), columns=4, width=2.7, height=2.5)
    for index, axis in enumerate(axes):
        low, high = np.quantile(np.concatenate([each[:, index] for each in sets.values()]), [0.0005, 0.9995])
        edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
        for number, (name, values) in enumerate(sets.items()):
            shares = np.histogram(values[:, index], bins=edges, density=True)[0]
            axis.stairs(shares, edges, color=colour(number), fill=number == 0, alpha=0.35 if number == 0 else 1)
            axis.stairs(shares, edges, color=colour(number), linestyle=dash(number), linewidth=1.2, label=name)
        if truth is not None:
            axis.axvline(np.asarray(truth)[index], color="#000000", linewidth=1, linestyle=":", label="truth")
        label(axis, x=names[index], y="density")
    lines, texts = axes[0].get_legend_handles_labels()
    figure.legend(lines, texts, fontsize=8, frameon=False, labelcolor=INK, loc="outside upper left", ncols=len(texts))
    return figure
