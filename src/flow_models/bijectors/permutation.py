"""A fixed reordering of the last axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Permutation(FusedBijector):
    r"""Reorder the elements of the last axis, so that another part passes through the next coupling.

    - forward:  ``x[..., order[i]] = z[..., i]``
    - inverse:  ``z[..., i] = x[..., order[i]]``
    - log-det:  0, as it only moves elements

    ``order`` is saved with the weights.

    Shapes: ``[batch, *event_shape]`` to the same.

    Raises:
        ValueError: if ``order`` does not name each element of the last axis once.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        order: Sequence[int] | np.ndarray,
        dtype: tf.DType = tf.float32,
        name: str = "permutation",
    ) -> None:
        if sorted(order) != list(range(event_shape[-1])):
            raise ValueError(f"{list(order)} is no order of the {event_shape[-1]} elements of the last axis")
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        self._order = tf.Variable(order, trainable=False, dtype=tf.int32, name="order")

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and 0."""
        return tf.gather(z, tf.math.invert_permutation(self._order), axis=-1), tf.zeros([], z.dtype)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and 0."""
        return tf.gather(x, self._order, axis=-1), tf.zeros([], x.dtype)
