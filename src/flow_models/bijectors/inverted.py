"""A bijector with its two directions exchanged."""

from __future__ import annotations

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Inverted(FusedBijector):
    r"""The other direction of an unconditional bijector ``f``, such as the way back from a rearrangement.

    - forward:  ``x = f⁻¹(z)``
    - inverse:  ``z = f(x)``
    - log-det:  that of ``f``, with the opposite sign at the same point

    Shapes: those of ``f``, exchanged.
    """

    def __init__(self, bijector: FusedBijector, *, name: str = "inverted") -> None:
        super().__init__(
            latent_shape=bijector.data_shape,
            data_shape=bijector.latent_shape,
            dtype=bijector.dtype,
            name=name,
        )
        self._bijector = bijector

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det."""
        return self._bijector.inverse_and_log_det(z)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det."""
        return self._bijector.forward_and_log_det(x)
