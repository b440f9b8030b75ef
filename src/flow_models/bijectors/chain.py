"""Bijectors one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Chain(FusedBijector):
    r"""A composition, listed from the data side to the latent side.

    - forward:  ``x = f₁(f₂(… f_k(z)))``
    - inverse:  ``z = f_k⁻¹(… f₂⁻¹(f₁⁻¹(x)))``
    - log-det:  the sum of the parts, each at its own input

    Shapes: those of the first part on the data side, of the last on the latent side. A context goes to the parts
    that take one.

    TFP's own ``Chain`` asks each part twice, for the value and for the log-determinant.
    """

    def __init__(self, bijectors: Sequence[FusedBijector], *, name: str = "chain") -> None:
        super().__init__(
            latent_shape=bijectors[-1].latent_shape,
            data_shape=bijectors[0].data_shape,
            context_width=next((each.context_width for each in bijectors if each.context_width is not None), None),
            dtype=bijectors[0].dtype,
            name=name,
        )
        self._bijectors = list(bijectors)
        self.latent_parts = bijectors[-1].latent_parts

    def forward_and_log_det(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and the sum of the log-dets."""
        total = tf.zeros([], z.dtype)
        for bijector in reversed(self._bijectors):
            z, log_det = bijector.forward_and_log_det(z, **bijector.given(context))
            total += log_det
        return z, total

    def inverse_and_log_det(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and the sum of the log-dets."""
        total = tf.zeros([], x.dtype)
        for bijector in self._bijectors:
            x, log_det = bijector.inverse_and_log_det(x, **bijector.given(context))
            total += log_det
        return x, total

    def initialise(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Initialise the parts in turn, from the data side."""
        for bijector in self._bijectors:
            x = bijector.initialise(x, **bijector.given(context))
        return x
