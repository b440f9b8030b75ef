"""A fixed scale and shift, such as from the network's range to 8-bit intensities."""

from __future__ import annotations

import math

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Rescale(FusedBijector):
    r"""One fixed scale and shift for every element.

    - forward:  ``x = scale · z + shift``
    - inverse:  ``z = (x - shift) / scale``
    - log-det:  ``log|dx/dz| = n · log(scale)`` for ``n`` elements

    Shapes: ``[batch, *event_shape]`` to the same.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        scale: float,
        shift: float,
        dtype: tf.DType = tf.float32,
        name: str = "rescale",
    ) -> None:
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        self._scale, self._shift = scale, shift
        self._log_det = math.prod(event_shape) * math.log(scale)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and ``n · log(scale)``."""
        return z * self._scale + self._shift, tf.constant(self._log_det, z.dtype)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and ``-n · log(scale)``."""
        return (x - self._shift) / self._scale, tf.constant(-self._log_det, x.dtype)
