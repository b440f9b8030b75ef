"""Noise within the grey levels of an image, shaped by a network: variational dequantisation as a bijector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector
from flow_models.bijectors.networks import Draw
from flow_models.bijectors.spline import log_slope_in_bin, position_in_bin

# Of the logarithm of a slope: none is below 1/55, so that float32 takes back what is pressed together.
MOST = 4.0


class Dequantiser(FusedBijector):
    r"""Moves every pixel within its grey level, by what a network sees of all levels.

    With ``v = ⌊x⌋``, ``u = x - v``, ``w = z - v``, and slopes ``(a, b)`` of each pixel from a network that sees the
    levels around it and ``w`` of the channels before:

    - inverse:  ``z = v + u (u + a (1 - u)) / D``, ``D = 1 + (a + b - 2) u (1 - u)``
    - forward:  ``x = v + 2 w / (p + √(p² + 4 q w))``, ``p = a - w (a + b - 2)``, ``q = 1 - p``
    - log-det:  ``log|dx/dz| = Σ 2 log D - log(b u² + 2 u (1 - u) + a (1 - u)²)``

    That is one bin of a rational-quadratic spline, from 0 to 1 with the slopes ``a`` and ``b`` there (Durkan et al.
    2019, equations 4 to 8). With both large the middle of the level is all but flat: pixels gather about
    ``(1 + a) / (2 + a + b)``.

    An image of integers with uniform noise becomes the same integers with noise of the density ``q(w | v) = |dx/dz|``.
    So the likelihood of uniform noise, here and through the flow behind, is the bound of Ho et al. 2019, "Flow++",
    equation 12: ``log p(x) = log p(v + w) - log q(w | v)``. What rounding took from a smooth image comes back: the
    three colours of a pixel, rounded each by itself, are moved to where they fit.

    Starts as the identity. Shapes: ``[batch, height, width, channels]`` to the same.

    Args:
        event_shape: height, width, channels.
        hidden: channels of the network.
        rng: draws the starting weights (He et al. 2015, equation 10).
        dtype: of the weights and the values.
        compute_dtype: inside the network, but for its first layer, which sees levels that bfloat16 would round.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        hidden: int,
        rng: np.random.Generator,
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
        name: str = "dequantiser",
    ) -> None:
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        self._compute_dtype = compute_dtype or dtype
        self._channels = event_shape[-1]
        seen = self._channels if self._channels == 1 else 2 * self._channels
        self._first = Draw(rng, dtype, dtype).layer(3, 3, seen, hidden)
        draw = Draw(rng, dtype, self._compute_dtype)
        self._second = draw.layer(3, 3, hidden, hidden)
        self._heads = [
            (draw.layer(1, 1, hidden + before, hidden), draw.layer(1, 1, hidden, 2, gain=0.0))
            for before in range(self._channels)
        ]

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det, ``[batch]``."""
        level, within = self._split(z)
        features, moved = self._features(level), []
        for channel, w in enumerate(within):
            a, b = self._slopes(features, within[:channel])
            u = position_in_bin(w, 1.0, 1.0, a, b)
            moved.append((u, log_slope_in_bin(u, 1.0, a, b)))
        x, log_det = self._joined(level, moved)
        return x, -log_det

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det, ``[batch]``."""
        level, within = self._split(x)
        features = self._features(level)
        moved: list[tuple[tf.Tensor, tf.Tensor]] = []
        for u in within:
            a, b = self._slopes(features, [w for w, _ in moved])
            w = u * (u + a * (1 - u)) / (1 + (a + b - 2) * u * (1 - u))
            moved.append((w, log_slope_in_bin(u, 1.0, a, b)))
        return self._joined(level, moved)

    def _split(self, x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The levels, and where each channel lies within them, ``[batch, height, width, 1]``."""
        level = tf.floor(x)
        return level, tf.split(x - level, self._channels, axis=-1)

    def _joined(self, level: tf.Tensor, moved: Sequence[tuple[tf.Tensor, tf.Tensor]]) -> tuple[tf.Tensor, tf.Tensor]:
        within, log_slopes = (tf.concat(each, axis=-1) for each in zip(*moved, strict=True))
        return level + tf.minimum(within, largest_noise(self.dtype)), tf.reduce_sum(log_slopes, axis=[1, 2, 3])

    def _features(self, level: tf.Tensor) -> tf.Tensor:
        """What the network makes of the levels around each pixel, ``[batch, height, width, hidden]``."""
        known = tf.clip_by_value(level, 0, 255)  # far from any image the network is not asked to extrapolate
        seen = (known - 127.5) / 64
        if self._channels > 1:
            # Colours hardly differ: of the levels alone it would learn the differences late.
            seen = tf.concat([seen, (known - tf.roll(known, -1, axis=-1)) / 16], axis=-1)
        return tf.nn.relu(self._second(tf.cast(tf.nn.relu(self._first(seen)), self._compute_dtype)))

    def _slopes(self, features: tf.Tensor, before: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """``a`` and ``b`` of the channel after those whose ``w`` is given, ``[batch, height, width, 1]``."""
        hidden, last = self._heads[len(before)]
        # Uniform noise less its mean, with a deviation of 1.
        known = [tf.cast((w - 0.5) * math.sqrt(12), self._compute_dtype) for w in before]
        raw = tf.cast(last(tf.nn.relu(hidden(tf.concat([features, *known], axis=-1)))), self.dtype)
        a, b = tf.split(tf.exp(MOST * tf.tanh(raw / MOST)), 2, axis=-1)
        return a, b


def largest_noise(dtype: tf.DType) -> float:
    """The largest that does not round a pixel of 255 into the next level."""
    return 1 - 128 * float(np.finfo(dtype.as_numpy_dtype).eps)
