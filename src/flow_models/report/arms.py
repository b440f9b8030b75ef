"""Arms drawn over each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from flow_models.report.theme import FAINT, INK, colour, label, panels


def arms(sets: Mapping[str, ArrayLike], *, target: tuple[float, float]) -> Figure:
    """One panel a set of arms; the segments have one colour each.

    Args:
        sets: joints' places from start to end, ``(n, 4, 2)``, by set.
        target: where the arms should end.
    """
    places = {name: np.asarray(each, np.float64) for name, each in sets.items()}
    everything = np.concatenate([each.reshape(-1, 2) for each in places.values()])
    low, high = everything.min(axis=0) - 0.1, everything.max(axis=0) + 0.1
    figure, axes = panels(len(places), width=3.9, height=4.2)
    for axis, (name, each) in zip(axes, places.items(), strict=True):
        axis.axvline(0, color=FAINT, linewidth=4, zorder=0)
        for part in range(each.shape[1] - 1):
            axis.add_collection(
                LineCollection(
                    list(each[:, part : part + 2]), colors=colour(part), linewidths=0.9, alpha=0.35, zorder=1
                )
            )
        joints = each[:, :-1].reshape(-1, 2)
        axis.scatter(joints[:, 0], joints[:, 1], s=5, color=INK, alpha=0.5, lw=0, zorder=2)
        axis.scatter(
            [target[0]],
            [target[1]],
            s=120,
            marker="o",
            facecolors="none",
            edgecolors="#000000",
            linewidths=1.4,
            zorder=3,
        )
        label(axis, x="horizontal (arm units)", y="vertical (arm units)", title=name)
        axis.set(xlim=(min(low[0], -0.1), high[0]), ylim=(low[1], high[1]), aspect="equal")
    return figure
