"""A fixed scale and shift per element, taken from the data."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Standardise(FusedBijector):
    r"""Mean 0 and deviation 1 on the latent side, whatever the units of the data.

    - forward:  ``x = s · z + m``
    - inverse:  ``z = (x - m) / s``
    - log-det:  ``log|dx/dz| = Σ log s``

    ``initialise`` takes ``m`` and ``s`` from the first batch; they are not trained, for a step of the optimizer
    knows no units, and are saved with the weights. An element that does not vary
    gets ``s = 1``.

    Shapes: ``[batch, n]`` to the same.
    """

    def __init__(
        self, *, event_shape: tuple[int, ...], dtype: tf.DType = tf.float32, name: str = "standardise"
    ) -> None:
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        self._mean = tf.Variable(tf.zeros(event_shape, dtype), trainable=False, name="mean")
        self._deviation = tf.Variable(tf.ones(event_shape, dtype), trainable=False, name="deviation")

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and ``Σ log s``, a scalar."""
        return z * self._deviation + self._mean, tf.reduce_sum(tf.math.log(self._deviation))

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and ``-Σ log s``, a scalar."""
        return (x - self._mean) / self._deviation, -tf.reduce_sum(tf.math.log(self._deviation))

    def initialise(self, x: tf.Tensor) -> tf.Tensor:
        """Take mean and deviation from the batch ``x``."""
        batch = np.asarray(x, np.float64)  # in float32, the deviation about a large mean is rounding
        mean, deviation = batch.mean(axis=0), batch.std(axis=0)
        varies = deviation > np.finfo(self.dtype.as_numpy_dtype).eps * np.abs(mean)
        self._mean.assign(tf.cast(mean, self.dtype))
        self._deviation.assign(tf.cast(np.where(varies, deviation, 1), self.dtype))
        return self.inverse_and_log_det(x)[0]
