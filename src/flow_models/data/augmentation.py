"""Training images turned, moved and mirrored, each time otherwise; a function of a seed."""

from __future__ import annotations

import math

import tensorflow as tf

from flow_models.settings import AugmentationSettings


def augment(images: tf.Tensor, settings: AugmentationSettings, *, seed: tf.Tensor) -> tf.Tensor:
    """Transform each image of a batch by its own draw.

    Mirrored left to right or not; turned and zoomed about the middle, bilinearly; moved by whole pixels. What comes in
    from outside is the image's reflection. Flips and shifts move pixel values without changing them; a zoom and a
    rotation mix neighbours, which makes images smoother than they were.

    Args:
        images: ``[batch, height, width, channels]``, uint8.
        settings: how far; zero everywhere gives the images back.
        seed: ``[2]``; the same gives the same.

    Returns:
        As ``images``.
    """
    if settings == AugmentationSettings():
        return images
    transforms = _transforms(tf.shape(images), settings, seed)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )
    moved = tf.cast(tf.clip_by_value(tf.round(moved), 0, 255), tf.uint8)
    return tf.ensure_shape(moved, images.shape)


def _transforms(shape: tf.Tensor, settings: AugmentationSettings, seed: tf.Tensor) -> tf.Tensor:
    """Where each output pixel comes from, ``[batch, 8]``: x = a₀x' + a₁y' + a₂, y = b₀x' + b₁y' + b₂."""
    number, (height, width) = shape[0], [tf.cast(shape[axis], tf.float32) for axis in (1, 2)]
    draws = tf.unstack(tf.random.stateless_uniform([5, number], seed, minval=-1.0, maxval=1.0))
    angle = draws[0] * settings.rotation * math.pi / 180
    scale = (1 + settings.zoom) ** draws[1]
    mirror = tf.where((draws[2] < 0) & settings.flip, -1.0, 1.0)
    a0, a1 = mirror * tf.cos(angle) / scale, -tf.sin(angle) / scale
    b0, b1 = mirror * tf.sin(angle) / scale, tf.cos(angle) / scale
    x, y = (width - 1) / 2, (height - 1) / 2
    right, down = tf.round(draws[3] * settings.shift * width), tf.round(draws[4] * settings.shift * height)
    a2, b2 = x - a0 * x - a1 * y + right, y - b0 * x - b1 * y + down
    zero = tf.zeros_like(a0)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=-1)
