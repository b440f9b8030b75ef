"""Pictures of a generative classifier of vectors: samples by class, where it decides what, and its calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flow_models.applications.plane_pictures import frame_around
from flow_models.evaluation.classification import ReliabilityCurve
from flow_models.report.page import Picture
from flow_models.report.theme import FAINT, INK, PALETTE, colour, dash, label, panels

Points = NDArray[np.float32]
Labels = NDArray[np.int64]

_COLOURS = (*PALETTE, "#8c959f", "#7a4d9f", "#8b5a2b")  # beyond the palette, panels and numbers tell classes apart
_PIXELS = 200
_SHOWN = 1500
_NUMBERED = 60  # points of a class that are written as its number


def class_samples(data: Points, labels: Labels, samples: Mapping[str, Points], *, names: tuple[str, str]) -> Picture:
    """One panel a class: its samples ``(n, 2)`` by name over the data ``(n, 2)``, those of the class darker."""
    figure, axes = panels(len(samples), columns=4, width=2.7, height=2.7)
    left, right, bottom, top = frame_around(data)
    for number, (axis, (name, drawn)) in enumerate(zip(axes, samples.items(), strict=True)):
        others, own = data[labels != number][:_SHOWN], data[labels == number][:_SHOWN]
        axis.scatter(others[:, 0], others[:, 1], s=3, color=FAINT, lw=0)
        axis.scatter(own[:, 0], own[:, 1], s=9, facecolors="none", edgecolors="#57606a", linewidths=0.4)
        axis.scatter(drawn[:_SHOWN, 0], drawn[:_SHOWN, 1], s=3, color=_colour(number), alpha=0.7, lw=0)
        label(axis, x=names[0], y=names[1], title=name)
        axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    shown = [
        _dot("sample of the class", "#0072B2", "none"),
        _dot("test point of the class", "none", "#57606a"),
        _dot("of another class", FAINT, "none"),
    ]
    figure.legend(handles=shown, loc="outside lower center", ncols=3, fontsize=8, frameon=False, labelcolor=INK)
    return Picture(
        figure,
        "Samples by class",
        "What the model draws when it is told the class, over test points that it never saw.",
        "Scatter plots, one for each class, of samples over data.",
    )


def decision_map(
    probabilities: Callable[[Points], NDArray[np.float64]],
    data: Points,
    labels: Labels,
    *,
    names: tuple[str, str],
    classes: Sequence[str],
) -> Picture:
    """The class that is decided for at each point of the plane, paler where it is less probable."""
    left, right, bottom, top = frame = frame_around(data)
    x, y = np.linspace(left, right, _PIXELS), np.linspace(bottom, top, _PIXELS)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    p = probabilities(grid)
    strength = (p.max(axis=1, keepdims=True) - 1 / p.shape[1]) / (1 - 1 / p.shape[1])
    colours = np.array([to_rgb(_colour(number)) for number in range(p.shape[1])])[p.argmax(axis=1)]
    image = 1 - 0.75 * strength * (1 - colours)
    figure, (axis,) = panels(1, width=5.4, height=4.4)
    axis.imshow(image.reshape(_PIXELS, _PIXELS, 3), extent=frame, origin="lower", interpolation="nearest")
    for number, name in enumerate(classes):
        own = data[labels == number][:_NUMBERED]
        marker = f"${number}$"
        axis.scatter(own[:, 0], own[:, 1], s=16, marker=marker, color="#24292f", linewidths=0.2, label=name)
    label(axis, x=names[0], y=names[1])
    axis.grid(visible=False)
    axis.set_aspect("equal")
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), labelcolor=INK, markerscale=1.6)
    return Picture(
        figure,
        "What is decided where",
        "The most probable class at each point, by Bayes' rule, in full colour where it is certain and white where all "
        "are as likely; test points are written as the number of their class.",
        "Map of the plane in the colours of the classes, with test points.",
    )


def reliability(curves: Mapping[str, ReliabilityCurve]) -> Picture:
    """Accuracy against confidence, one line a classifier, over the shares of the predictions of the first."""
    figure, (above, below) = panels(2, columns=1, width=5.2, height=2.6)
    above.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8, label="calibrated")
    width = 0.8 / len(curves)
    for number, (name, curve) in enumerate(curves.items()):
        seen = curve.share > 0
        above.plot(
            curve.confidence[seen],
            curve.accuracy[seen],
            color=colour(number),
            linestyle=dash(number),
            linewidth=1.4,
            marker="o",
            markersize=3,
            label=name,
        )
        bins = len(curve.share)
        middles = (np.arange(bins) + 0.5 + (number - (len(curves) - 1) / 2) * width) / bins
        below.bar(middles, 100 * curve.share, width=width / bins, color=colour(number))
    label(above, x="confidence: probability of the predicted class", y="accuracy")
    label(below, x="confidence: probability of the predicted class", y="predictions (%)")
    below.set(xlim=(-0.02, 1.02), yscale="log")
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    above.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), labelcolor=INK)
    return Picture(
        figure,
        "Whether confidence means what it says",
        "On the line, predictions made with a confidence of 80 % are right in 80 % of the cases. Points of few "
        "predictions, by the bars beneath, scatter.",
        "Reliability diagram with one line for each classifier, and the shares of predictions by confidence.",
    )


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _dot(text: str, face: str, edge: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker="o", markersize=4, markerfacecolor=face, markeredgecolor=edge, label=text
    )
