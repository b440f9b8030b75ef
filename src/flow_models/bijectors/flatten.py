"""Lay an image out as a vector."""

from __future__ import annotations

import math

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Flatten(FusedBijector):
    r"""Pixels in rows, channels of a pixel side by side: what is dense and not convolutional then sees all at once.

    - forward:  ``x[i, j, k] = z[(i·w + j)·c + k]``
    - inverse:  ``z[(i·w + j)·c + k] = x[i, j, k]``
    - log-det:  0, as it only moves elements

    Shapes: ``[batch, h·w·c]`` (latent) from and to ``[batch, h, w, c]`` (data).
    """

    def __init__(self, *, data_shape: tuple[int, ...], dtype: tf.DType = tf.float32, name: str = "flatten") -> None:
        super().__init__(latent_shape=(math.prod(data_shape),), data_shape=data_shape, dtype=dtype, name=name)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and 0."""
        return tf.reshape(z, [-1, *self.data_shape]), tf.zeros([], z.dtype)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and 0."""
        return tf.reshape(x, [-1, *self.latent_shape]), tf.zeros([], x.dtype)
