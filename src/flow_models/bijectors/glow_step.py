"""One step of Glow: normalise, mix the channels, couple."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from flow_models.bijectors.actnorm import ActNorm
from flow_models.bijectors.coupling import AffineCoupling
from flow_models.bijectors.fused import FusedBijector
from flow_models.bijectors.invertible_conv import InvertibleConv, mix_channels


class GlowStep(FusedBijector):
    r"""ActNorm, invertible 1×1 convolution and coupling, from data to latent in this order.

    - inverse:  ``z = coupling⁻¹(conv⁻¹(actnorm⁻¹(x)))``
    - forward:  ``x = actnorm(conv(coupling(z)))``
    - log-det:  the sum of the three

    ActNorm and convolution are both affine in the channels, so the two are one product with
    ``A = diag(exp(-s)) · W`` and the offset ``-b · A``: half the passes over the image.

    Shapes: ``[batch, height, width, channels]`` to the same.
    Kingma & Dhariwal 2018, section 3 and table 1.
    """

    def __init__(
        self, *, actnorm: ActNorm, conv: InvertibleConv, coupling: AffineCoupling, name: str = "glow_step"
    ) -> None:
        shape = coupling.data_shape
        super().__init__(latent_shape=shape, data_shape=shape, dtype=coupling.dtype, name=name)
        self._actnorm, self._conv, self._coupling = actnorm, conv, coupling

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det, ``[batch]``."""
        h, log_det = self._coupling.forward_and_log_det(z)
        return self._unmix(h), log_det - self._linear_log_det()

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det, ``[batch]``."""
        z, log_det = self._coupling.inverse_and_log_det(self._mix(x))
        return z, log_det + self._linear_log_det()

    def recompute_gradient(
        self, z: tf.Tensor, dz: tf.Tensor, d_log_det: tf.Tensor, weights: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | None]]:
        """As in ``FusedBijector``: first through the coupling, then through the mixing."""
        h, dh, through_coupling = self._coupling.recompute_gradient(z, dz, d_log_det, weights)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            x = self._unmix(h)
            tape.watch([x, *weights])
            mixed, log_det = self._mix(x), self._linear_log_det()
        dx, *through_mixing = tape.gradient([mixed, log_det], [x, *weights], [dh, tf.reduce_sum(d_log_det)])
        # Each weight belongs to one of the two.
        pairs = zip(through_coupling, through_mixing, strict=True)
        return x, dx, [one if other is None else other for one, other in pairs]

    def initialise(self, x: tf.Tensor) -> tf.Tensor:
        """Initialise the three in turn."""
        for bijector in (self._actnorm, self._conv, self._coupling):
            x = bijector.initialise(x)
        return x

    def _mix(self, x: tf.Tensor) -> tf.Tensor:
        matrix = self._matrix()
        return mix_channels(x, matrix) - tf.linalg.matvec(matrix, self._actnorm.shift, transpose_a=True)

    def _unmix(self, h: tf.Tensor) -> tf.Tensor:
        return mix_channels(h, tf.linalg.inv(self._matrix())) + self._actnorm.shift

    def _matrix(self) -> tf.Tensor:
        return tf.exp(-self._actnorm.log_scale)[:, None] * self._conv.matrix()

    def _linear_log_det(self) -> tf.Tensor:
        return self._actnorm.inverse_log_det() + self._conv.inverse_log_det()
