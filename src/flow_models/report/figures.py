"""Figures made of images: sheets of samples, and labelled rows. Pixels are shown as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from flow_models.report.theme import DOTS_PER_INCH, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Images = NDArray[np.uint8]

_GAP = 12
# A line around each image: a white one would otherwise run into the paper.
_FRAME, _FRAME_GREY = 2, 176
_TITLE_HEIGHT, _LABEL_HEIGHT = 52, 34
_SHEET_COLUMNS, _SHEET_CELL, _ROW_CELL = 16, 68, 140


def image_sheets(sheets: Mapping[str, Images]) -> Figure:
    """Sheets of images one below the other, each under its name.

    Args:
        sheets: images ``(n, h, w, 1 or 3)`` by name.

    Raises:
        ValueError: if there is nothing to show.
    """
    mosaics = {name: _mosaic(images) for name, images in _checked(sheets).items()}
    width = max(mosaic.shape[1] for mosaic in mosaics.values())
    figure = _figure(width + 4 * _GAP, sum(mosaic.shape[0] + _TITLE_HEIGHT for mosaic in mosaics.values()) + _GAP)
    top = 0
    for name, mosaic in mosaics.items():
        axes = _axes(figure, 2 * _GAP, top + _TITLE_HEIGHT, mosaic)
        axes.text(0, -_GAP / 2, name, fontsize=9, color=INK, va="bottom")
        top += mosaic.shape[0] + _TITLE_HEIGHT
    return figure


def image_rows(rows: Mapping[str, Images], *, labels: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """Rows of images, each row under its name, each image over its label.

    Args:
        rows: images ``(n, h, w, 1 or 3)`` by name.
        labels: ``n`` short texts by the name of the row; rows without any may be left out.

    Raises:
        ValueError: if there is nothing to show.
    """
    cells = {name: _fit(images, _ROW_CELL) for name, images in _checked(rows).items()}
    labels = labels or {}
    heights = {
        name: _TITLE_HEIGHT + images.shape[1] + 2 * _FRAME + _LABEL_HEIGHT * (name in labels)
        for name, images in cells.items()
    }
    width = max(len(images) * (images.shape[2] + _GAP) for images in cells.values())
    figure, top = _figure(width + 4 * _GAP, sum(heights.values()) + _GAP), 0
    for name, images in cells.items():
        axes = _axes(figure, 2 * _GAP, top + _TITLE_HEIGHT, _tile(images, columns=len(images)))
        axes.text(0, -_GAP / 2, name, fontsize=9, color=INK, va="bottom")
        step, bottom = images.shape[2] + _GAP, images.shape[1] + 2 * _FRAME + _GAP / 3
        for number, text in enumerate(labels.get(name, [])):
            center = number * step + images.shape[2] / 2
            axes.text(center, bottom, text, fontsize=7.5, color=INK, ha="center", va="top")
        top += heights[name]
    return figure


def _checked(groups: Mapping[str, Images]) -> Mapping[str, Images]:
    empty = [name for name, images in groups.items() if not len(images)]
    if empty or not groups:
        raise ValueError(f"no images to show{f' in {empty[0]!r}' if empty else ''}")
    return groups


def _mosaic(images: Images) -> Images:
    columns = min(len(images), _SHEET_COLUMNS)
    return _tile(_fit(images, _SHEET_CELL), columns=columns)


def _fit(images: Images, side: int) -> Images:
    """Colour images whose longer side is at most ``side``: whole repeats of each pixel, or reduced."""
    height, width = images.shape[1:3]
    factor = side // max(height, width)
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    if factor:
        return images.repeat(factor, axis=1).repeat(factor, axis=2)
    size = (max(width * side // max(height, width), 1), max(height * side // max(height, width), 1))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def _tile(images: Images, *, columns: int) -> Images:
    framed = np.pad(images, [(0, 0), (_FRAME, _FRAME), (_FRAME, _FRAME), (0, 0)], constant_values=_FRAME_GREY)
    gap = _GAP - 2 * _FRAME
    height, width = framed.shape[1] + gap, framed.shape[2] + gap
    sheet = np.full((-(-len(images) // columns) * height, columns * width, 3), 255, np.uint8)
    for number, image in enumerate(framed):
        row, column = divmod(number, columns)
        sheet[row * height :, column * width :][: image.shape[0], : image.shape[1]] = image
    return sheet[:-gap, :-gap]


def _figure(width: int, height: int) -> Figure:
    return Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)


def _axes(figure: Figure, left: int, top: int, mosaic: Images) -> Axes:
    """Axes without a frame whose pixels are the figure's, so that nothing is resampled."""
    width, height = figure.get_size_inches() * DOTS_PER_INCH
    high, wide = mosaic.shape[:2]
    axes = figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))
    axes.imshow(mosaic, interpolation="nearest", extent=(0, wide, high, 0), aspect="auto")
    axes.set_axis_off()
    return axes
