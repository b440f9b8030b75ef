"""What a flow tells of an image beside its likelihood: whether it stands as images do, and how its latents are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

Shapes = Sequence[tuple[int, ...]]
_GRID = 3  # axes of an image, and of a piece that has neighbours: height, width, channels
_TURNS = {"than_upside_down": 1, "than_mirrored": 2}


def turns(event_shape: tuple[int, ...]) -> dict[str, int]:
    """Statistics of images that compare one with the same turned, and the axis of ``[batch, …]`` that this reverses.

    How much likelier an image is than the same turned, ``log p(x) - log p(turned x)``, says whether it stands as what
    was learned does. It is a ratio to a background model, as in Ren et al. 2019, "Likelihood ratios for
    out-of-distribution detection", section 3, where the background is the density of turned images: what an image
    owes to its texture, its contrast and its simplicity is the same in both, and leaves the ratio. A vector has none.
    """
    return _TURNS if len(event_shape) == _GRID else {}


def statistic_names(parts: Shapes) -> list[str]:
    """The columns of ``latent_statistics``, such as ``z1.square``; the coarsest piece is the last, and comes first."""
    return [
        f"z{len(parts) - place}.{name}"
        for place, shape in enumerate(parts)
        for name in ("mean", "square", *(name for name, axis in _neighbours(shape)))
    ]


def latent_statistics(z: tf.Tensor, parts: Shapes) -> tf.Tensor:
    r"""Sums over each piece of the latents that are N(0, 1), nearly, if the latents are N(0, I).

    Of a piece with m elements:

    - mean:      ``Σ z_i / √m``
    - square:    ``Σ (z_i² - 1) / √(2 m)``
    - vertical:  ``Σ z_i z_j / √p`` over the p pairs of vertical neighbours in the same channel; ``horizontal`` likewise

    Args:
        z: ``[batch, elements]``.
        parts: the shapes of its pieces, ``(height, width, channels)`` or ``(elements,)``, one after the other.

    Returns:
        ``[batch, k]``, columns as ``statistic_names`` says.

    References:
        Box & Pierce 1970, "Distribution of residual autocorrelations", at lag one; Wang et al. 2020, "Further analysis
        of outlier detection with deep generative models", arXiv:2010.13064, section 3.2, who test latents so.
    """
    columns: list[tf.Tensor] = []
    for flat, shape in zip(tf.split(z, [math.prod(shape) for shape in parts], axis=-1), parts, strict=True):
        size, piece = math.prod(shape), tf.reshape(flat, [-1, *shape])
        columns += [
            tf.reduce_sum(flat, axis=-1) / math.sqrt(size),
            tf.reduce_sum(flat**2 - 1, axis=-1) / math.sqrt(2 * size),
        ]
        for _, axis in _neighbours(shape):
            before, after = tf.split(piece, [1, shape[axis] - 1], axis=axis + 1)[1], _but_last(piece, axis + 1)
            pairs = size // shape[axis] * (shape[axis] - 1)
            columns.append(tf.reduce_sum(before * after, axis=[1, 2, 3]) / math.sqrt(pairs))
    return tf.stack(columns, axis=-1)


def _neighbours(shape: tuple[int, ...]) -> list[tuple[str, int]]:
    """The directions in which a piece has neighbours, with their axes."""
    if len(shape) != _GRID:
        return []
    return [(name, axis) for axis, name in enumerate(("vertical", "horizontal")) if shape[axis] > 1]


def _but_last(piece: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.split(piece, [piece.shape[axis] - 1, 1], axis=axis)[0]
