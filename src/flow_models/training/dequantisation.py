"""Variational dequantisation: noise that is learned with the flow, in the place of uniform noise."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from flow_models.bijectors import AffineCoupling
from flow_models.bijectors.networks import ConvNetwork

COUPLINGS, HIDDEN_CHANNELS = 4, 32
# The logistic distribution function nearest to the normal one: with it, untrained noise is all but uniform.
SLOPE = 1.702
# Below 1 by as much as float32 resolves next to 256: an integer and its noise never round to the next integer.
LARGEST = 1 - 2.0**-16


class VariationalNoise(tf.Module):
    r"""The density ``q(u | x)`` of the noise ``u`` in [0, 1) that is added to an image ``x`` of 8-bit integers.

    By Jensen's inequality the discrete image has ``log P(x) ≥ E[log p(x + u) - log q(u | x)]`` with ``u ~ q``; uniform
    noise is ``q = 1``. The bound is the tighter, the closer ``q`` comes to how ``p`` fills the unit cube at ``x``. Here
    ``u = σ(1.702 · f(ε; x))`` with ``ε ~ N(0, I)``, where ``f`` is a stack of affine couplings over the channels that a
    squeeze makes, whose networks also see the image.

    Ho et al. 2019, "Flow++", section 3.1, equations 11 and 12.

    Args:
        image_shape: height, width, channels; the two sides even.
        seed: of the starting weights.
        dtype: of the weights and the values.
    """

    def __init__(self, image_shape: tuple[int, ...], *, seed: int, dtype: tf.DType) -> None:
        super().__init__(name="variational_noise")
        self._shape, self._dtype = image_shape, dtype
        height, width, channels = image_shape
        half, rng = 2 * channels, np.random.default_rng(seed)
        self._couplings = [
            AffineCoupling(
                event_shape=(height // 2, width // 2, 2 * half),
                passed=half,
                network=ConvNetwork(inputs=3 * half, outputs=2 * half, hidden=HIDDEN_CHANNELS, rng=rng, dtype=dtype),
                context_width=2 * half,
                dtype=dtype,
            )
            for _ in range(COUPLINGS)
        ]

    def transform(self, normal: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The noise that a draw ``ε`` of N(0, I), ``[batch, *image_shape]``, becomes, and ``log q(u | x)``."""
        axes = list(range(1, 1 + len(self._shape)))
        log_q = -0.5 * tf.reduce_sum(normal**2 + math.log(2 * math.pi), axis=axes)
        v, context = (tf.nn.space_to_depth(each, 2) for each in (normal, (x - 127.5) / 256))
        for coupling in self._couplings:
            v, log_det = coupling.forward_and_log_det(v, context)
            log_q -= log_det
            v = tf.reverse(v, axis=[-1])  # what passed is transformed next
        logit = SLOPE * tf.nn.depth_to_space(v, 2)
        log_slope = math.log(SLOPE) + tf.math.log_sigmoid(logit) + tf.math.log_sigmoid(-logit)
        return tf.minimum(tf.sigmoid(logit), LARGEST), log_q - tf.reduce_sum(log_slope, axis=axes)
