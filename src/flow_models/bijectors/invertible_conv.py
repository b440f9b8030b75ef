"""An invertible mixing of the channels, the same at every position."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class InvertibleConv(FusedBijector):
    r"""Invertible 1×1 convolution by its LU factors, ``W = P · L · (U + diag(σ · exp(s)))``.

    - forward:  ``x = z · W⁻¹`` at every position
    - inverse:  ``z = x · W`` at every position
    - log-det:  ``log|dx/dz| = -p · Σ s`` for ``p`` positions (pixels; 1 for a vector)

    ``L`` is unit lower triangular, ``U`` strictly upper triangular; the permutation ``P`` and the
    signs ``σ`` are fixed, and saved with the weights. Starts as a random rotation.

    Shapes: ``[batch, *event_shape]`` to the same; the last axis of the event is the channels.
    Kingma & Dhariwal 2018, section 3.2 and equation 10.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        rng: np.random.Generator,
        dtype: tf.DType = tf.float32,
        name: str = "invertible_conv",
    ) -> None:
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        channels = event_shape[-1]
        self._positions = math.prod(event_shape[:-1])
        rotation = np.linalg.qr(rng.standard_normal([channels, channels]))[0]
        permutation, lower, upper = scipy.linalg.lu(rotation)
        diagonal = np.diag(upper)
        self._permutation = tf.Variable(permutation, trainable=False, dtype=dtype, name="permutation")
        self._signs = tf.Variable(np.sign(diagonal), trainable=False, dtype=dtype, name="signs")
        self._log_diagonal = tf.Variable(np.log(np.abs(diagonal)), dtype=dtype, name="log_diagonal")
        self._lower = tf.Variable(np.tril(lower, -1), dtype=dtype, name="lower")
        self._upper = tf.Variable(np.triu(upper, 1), dtype=dtype, name="upper")

    def matrix(self) -> tf.Tensor:
        """``W``, ``[channels, channels]``."""
        lower = tf.linalg.set_diag(tf.linalg.band_part(self._lower, -1, 0), tf.ones_like(self._signs))
        upper = tf.linalg.set_diag(tf.linalg.band_part(self._upper, 0, -1), self._signs * tf.exp(self._log_diagonal))
        return self._permutation @ lower @ upper

    def inverse_log_det(self) -> tf.Tensor:
        """``log|dz/dx|``, which needs no data."""
        return self._positions * tf.reduce_sum(self._log_diagonal)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and ``-p · Σ s``, a scalar."""
        return mix_channels(z, tf.linalg.inv(self.matrix())), -self.inverse_log_det()

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and ``p · Σ s``, a scalar."""
        return mix_channels(x, self.matrix()), self.inverse_log_det()


def mix_channels(x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """``x · matrix`` at every position: ``[..., channels]`` to the same."""
    if x.shape.rank == 4:  # noqa: PLR2004 - images; the convolution is faster than a product of matrices on CPUs
        return tf.nn.conv2d(x, matrix[None, None], strides=1, padding="VALID")
    return tf.linalg.matmul(x, matrix)
