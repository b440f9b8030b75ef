"""Factor out half of the channels after each level, and lay the latents out as one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class MultiScale(FusedBijector):
    r"""Levels of a multi-scale architecture; half of the channels leave after each but the last.

    From data to latent, level ``l`` maps ``h_l`` to ``(h_{l+1}, z_l)``, its output's first and
    second half of the channels:

    - inverse:  ``z = [flat(z_L), …, flat(z_1)]``, coarsest level first
    - forward:  the levels backwards, from the coarsest, each joined with its part of ``z``
    - log-det:  the sum over the levels

    A level that ends in an ``AffineCoupling`` passing the first half gives ``z_l`` a learned
    Gaussian prior ``p(z_l | h_{l+1})``, for a coupling is just that: subtract a mean, divide by
    a deviation, both read from the other half. So all of ``z`` is N(0, I).

    Shapes: ``[batch, height · width · channels]`` (latent), ``[batch, height, width, channels]`` (data).
    Dinh, Sohl-Dickstein & Bengio 2017, section 3.6; Kingma & Dhariwal 2018, figure 2.
    """

    def __init__(self, levels: Sequence[FusedBijector], *, name: str = "multi_scale") -> None:
        shape = levels[0].data_shape
        super().__init__(latent_shape=(math.prod(shape),), data_shape=shape, dtype=levels[0].dtype, name=name)
        self._levels = list(levels)
        *factored, last = (level.latent_shape for level in levels)
        halves = [(height, width, channels // 2) for height, width, channels in reversed(factored)]
        self.latent_parts = (tuple(last), *halves)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det, ``[batch]``."""
        total = tf.zeros([], z.dtype)
        parts = tf.split(z, [math.prod(shape) for shape in self.latent_parts], axis=-1)
        h: tf.Tensor | None = None
        for level, shape, flat in zip(reversed(self._levels), self.latent_parts, parts, strict=True):
            part = tf.reshape(flat, [-1, *shape])
            h, log_det = level.forward_and_log_det(part if h is None else tf.concat([h, part], axis=-1))
            total += log_det
        return h, total

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det, ``[batch]``."""
        total, parts = tf.zeros([], x.dtype), []
        for level in self._levels:
            x, log_det = level.inverse_and_log_det(x)
            total += log_det
            x, part = self._factor_out(level, x)
            parts.append(part)
        return tf.concat(parts[::-1], axis=-1), total

    def initialise(self, x: tf.Tensor) -> tf.Tensor:
        """Initialise the levels in turn, from the data side."""
        parts = []
        for level in self._levels:
            x, part = self._factor_out(level, level.initialise(x))
            parts.append(part)
        return tf.concat(parts[::-1], axis=-1)

    def _factor_out(self, level: FusedBijector, h: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What goes on to the next level, and the latent part that leaves, flat."""
        if level is not self._levels[-1]:
            h, part = tf.split(h, 2, axis=-1)
        else:
            part = h
        return h, tf.reshape(part, [-1, math.prod(part.shape[1:])])
