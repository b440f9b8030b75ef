"""Figures with axes: histograms, ROC curves, the latent plane, the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from flow_models.report.theme import INK, colour, dash, label, panels

_BINS = 40
_MARKERS = "os^Dv<P"


@dataclass(frozen=True)
class Curve:
    """One ROC curve: rates ``(k,)`` from (0, 0) to (1, 1), and the area under it."""

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    area: float


def histogram_edges(values: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Bin edges around the first set, where the others overlap with it or do not.

    They span its 0.5 % to 99.5 % quantiles and twice as much on either side, but no further than
    there are values: a density falls without bound, and the tail of one set would hide all else.

    Args:
        values: finite ``(n,)`` by set.

    Returns:
        ``(41,)``, increasing.
    """
    everything = np.concatenate([np.asarray(each, np.float64) for each in values.values()])
    low, high = np.quantile(np.asarray(next(iter(values.values())), np.float64), [0.005, 0.995])
    reach = 2 * (high - low)
    low, high = max(low - reach, everything.min()), min(high + reach, everything.max())
    # Equal scores still need bins of a width that float64 can tell apart.
    return np.linspace(low, max(high, low + 1e-6 * max(abs(low), 1)), _BINS + 1)


def histogram_shares(values: ArrayLike, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values in each bin, those beyond the edges counted in the outermost ones.

    Args:
        values: ``(n,)``.
        edges: ``(b + 1,)``.

    Returns:
        ``(b,)``, summing to 1.
    """
    counts, _ = np.histogram(np.clip(np.asarray(values, np.float64), edges[0], edges[-1]), bins=edges)
    return counts / counts.sum()


def score_histograms(scores: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """One panel a score, one outline a set.

    Args:
        scores: values ``(n,)`` by set, by score; the score's name, with its unit, labels the axis.
    """
    figure, axes = panels(len(scores), columns=2, width=4.4, height=2.6)
    for axis, (score, sets) in zip(axes, scores.items(), strict=True):
        edges = histogram_edges(sets)
        for number, (name, values) in enumerate(sets.items()):
            shares = histogram_shares(values, edges)
            axis.stairs(shares, edges, fill=True, color=colour(number), alpha=0.2)
            axis.stairs(shares, edges, color=colour(number), linestyle=dash(number), linewidth=1.2, label=name)
        label(axis, x=score, y="share of the set")
    axes[0].legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def roc_curves(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """One panel an outlier set, one line a score.

    Args:
        curves: by score, by set.
    """
    figure, axes = panels(len(curves), width=3.4, height=4.2)
    for axis, (name, scores) in zip(axes, curves.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8)
        for number, (score, curve) in enumerate(scores.items()):
            axis.plot(
                curve.false_positive_rate,
                curve.true_positive_rate,
                color=colour(number),
                linestyle=dash(number),
                linewidth=1.6,
                label=f"{score} {curve.area:.3f}",
            )
        label(axis, x="inliers taken for outliers", y="outliers found", title=name)
        axis.set_aspect("equal")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        axis.legend(fontsize=8, frameon=False, title="AUROC", title_fontsize=8, labelcolor=INK, **below)
    return figure


def latent_scatter(points: Mapping[str, ArrayLike], *, explained: ArrayLike) -> Figure:
    """Sets of points in a plane of latent space, framed around the first set.

    The frame is 2.5 times as wide as the bulk of that set; points outside are drawn on its edge.

    Args:
        points: ``(n, 2)`` by set.
        explained: ``(2,)``, the share of the variance along each axis.
    """
    first, second = np.asarray(explained, np.float64)
    reach = 2.5 * np.quantile(np.abs(np.asarray(next(iter(points.values())))), 0.98)
    figure, (axis,) = panels(1, width=7.4, height=5.0)
    for number, (name, coordinates) in enumerate(points.items()):
        x, y = np.clip(np.asarray(coordinates), -reach, reach).T
        axis.scatter(
            x, y, s=14, marker=_MARKERS[number % len(_MARKERS)], color=colour(number), alpha=0.55, lw=0, label=name
        )
    label(axis, x=f"first component ({first:.1%} of variance)", y=f"second component ({second:.1%} of variance)")
    axis.set(xlim=(-1.04 * reach, 1.04 * reach), ylim=(-1.04 * reach, 1.04 * reach), aspect="equal")
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), labelcolor=INK)
    return figure


def training_history(
    *, epochs: ArrayLike, seconds: ArrayLike, train_bits_per_dim: ArrayLike, holdout_bits_per_dim: ArrayLike
) -> Figure:
    """Bits per dimension over epochs and over seconds.

    Args:
        epochs: ``(n,)``.
        seconds: ``(n,)``, since training began.
        train_bits_per_dim: ``(n,)``, mean over the epoch.
        holdout_bits_per_dim: ``(n,)``, at the end of the epoch.
    """
    figure, axes = panels(2, columns=2, width=4.4, height=2.8)
    for axis, x, name in zip(axes, (epochs, seconds), ("epoch", "seconds of training"), strict=True):
        lines = {"training images": train_bits_per_dim, "held-out images": holdout_bits_per_dim}
        for number, (line, y) in enumerate(lines.items()):
            axis.plot(x, y, color=colour(number), linestyle=dash(number), linewidth=1.4, label=line)
        label(axis, x=name, y="bits per dimension")
        # The first epochs would flatten everything after them.
        settled = np.concatenate([np.asarray(y, np.float64)[np.size(y) // 10 :] for y in lines.values()])
        settled = settled[np.isfinite(settled)]
        if settled.size and np.ptp(settled):
            axis.set_ylim(settled.min() - 0.05 * np.ptp(settled), settled.max() + 0.05 * np.ptp(settled))
    axes[0].legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def confusion_matrix(counts: ArrayLike, *, names: Sequence[str]) -> Figure:
    """Counts ``(k, k)`` of true classes (rows) by predicted ones (columns), shaded by their share of the row."""
    numbers = np.asarray(counts)
    shares = numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.42 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(numbers), strict=True):
        shade = "white" if shares[row, column] > 0.5 else INK  # noqa: PLR2004
        axes.text(column, row, str(numbers[row, column]), ha="center", va="center", fontsize=7, color=shade)
    label(axes, x="predicted class", y="true class")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    return figure
