"""A learned scale and shift per channel that starts by normalising the first batch."""

from __future__ import annotations

import math

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class ActNorm(FusedBijector):
    r"""Activation normalisation: one scale ``exp(s)`` and one shift ``b`` per channel.

    - forward:  ``x = exp(s) · z + b``
    - inverse:  ``z = exp(-s) · (x - b)``
    - log-det:  ``log|dx/dz| = p · Σ s`` for ``p`` positions (pixels; 1 for a vector)

    Shapes: ``[batch, *event_shape]`` to the same; the last axis of the event is the channels.
    ``initialise`` sets ``b`` and ``s`` so that the first batch comes out with mean 0 and
    variance 1 in each channel (Kingma & Dhariwal 2018, section 3.1).
    """

    def __init__(self, *, event_shape: tuple[int, ...], dtype: tf.DType = tf.float32, name: str = "actnorm") -> None:
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        self._positions = math.prod(event_shape[:-1])
        self.log_scale = tf.Variable(tf.zeros(event_shape[-1], dtype), name="log_scale")
        self.shift = tf.Variable(tf.zeros(event_shape[-1], dtype), name="shift")

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and ``p · Σ s``, a scalar."""
        return z * tf.exp(self.log_scale) + self.shift, -self.inverse_log_det()

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and ``-p · Σ s``, a scalar."""
        return (x - self.shift) * tf.exp(-self.log_scale), self.inverse_log_det()

    def inverse_log_det(self) -> tf.Tensor:
        """``log|dz/dx|``, which needs no data."""
        return -self._positions * tf.reduce_sum(self.log_scale)

    def initialise(self, x: tf.Tensor) -> tf.Tensor:
        """Take scale and shift from the batch ``x``."""
        mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
        self.shift.assign(mean)
        # A channel that is constant in the batch would get an infinite scale.
        self.log_scale.assign(0.5 * tf.math.log(variance + 1e-6))
        return self.inverse_and_log_det(x)[0]
