"""What the figures have in common: resolution, colours, axes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS_PER_INCH = 200
# Okabe & Ito 2008, "Color universal design": told apart with any colour vision; the yellow is left
# out, being invisible on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
INK, FAINT = "#24292f", "#d0d7de"


def colour(index: int) -> str:
    """The colour of the index-th thing in a figure."""
    return PALETTE[index % len(PALETTE)]


def dash(index: int) -> str:
    """The line style of the index-th thing, so that lines differ without colour too."""
    return DASHES[index % len(DASHES)]


def panels(count: int, *, columns: int = 3, width: float = 3.1, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` axes, row by row, each ``width`` by ``height`` inches."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * width, rows * height), dpi=DOTS_PER_INCH, layout="constrained")
    return figure, [figure.add_subplot(rows, columns, number + 1) for number in range(count)]


def label(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Name both axes with their units, and quieten the frame."""
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.locator_params(nbins=6)
    axes.tick_params(labelsize=8, color=FAINT, labelcolor=INK)
    axes.grid(visible=True, color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file that depends on nothing but what is drawn."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
    return content.getvalue()
