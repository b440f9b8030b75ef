"""The real line, column by column, onto the interval that a variable lives in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Support(FusedBijector):
    r"""A bijection onto bounded variables: every sample lies inside, and no density leaks out.

    By column, with ``σ`` the logistic function:

    - forward:  ``x = low + (high - low) · σ(z)``, ``x = low + exp(z)``, ``x = high - exp(-z)`` or ``x = z``
    - inverse:  ``z = log(x - low) - log(high - x)``, where a side without a bound contributes nothing; or ``z = x``
    - log-det:  ``log|dx/dz| = log(high - low) + log σ(z) + log σ(-z)``, ``z``, ``-z`` or 0, summed over columns

    as both sides are bounded, the lower, the upper, or none. Values on a bound, where the latent would be
    infinite, count as the nearest number inside.

    Shapes: ``[batch, n]`` to the same. Stan Reference Manual, "Constraint transforms".

    Args:
        low: lower bound of each column; None for none.
        high: upper bound of each column; None for none.

    Raises:
        ValueError: if a column has no room between its bounds, or the two are not of one length.
    """

    def __init__(
        self,
        *,
        low: Sequence[float | None],
        high: Sequence[float | None],
        dtype: tf.DType = tf.float32,
        name: str = "support",
    ) -> None:
        number = dtype.as_numpy_dtype
        lower = np.array([-np.inf if each is None else each for each in low], number)
        upper = np.array([np.inf if each is None else each for each in high], number)
        if lower.shape != upper.shape:
            raise ValueError(f"{len(lower)} lower and {len(upper)} upper bounds do not belong together")
        # Next to 0 stand the subnormal numbers, which TensorFlow takes for 0.
        tiny = np.finfo(number).tiny
        first = np.where(lower == 0, tiny, np.nextafter(lower, number(np.inf)))
        last = np.where(upper == 0, -tiny, np.nextafter(upper, number(-np.inf)))
        for column in np.flatnonzero(~(first <= last)).tolist():
            raise ValueError(f"column {column}: there is no number between {low[column]} and {high[column]}")
        super().__init__(latent_shape=lower.shape, data_shape=lower.shape, dtype=dtype, name=name)
        self._first, self._last = first, last
        self._below, self._above = np.isfinite(lower), np.isfinite(upper)
        self._both, self._free = self._below & self._above, ~(self._below | self._above)
        self._low, self._high = np.where(self._below, lower, 0), np.where(self._above, upper, 0)
        self._room = np.where(self._both, self._high - self._low, 1)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det, ``[batch]``."""
        # log σ(±z) where both sides are bounded, ±z itself where one is: log of the distance to each bound.
        log_below = tf.where(self._both, tf.math.log_sigmoid(z), z)
        log_above = tf.where(self._both, tf.math.log_sigmoid(-z), -z)
        from_low = self._low + self._room * tf.exp(tf.where(self._below, log_below, 0))
        from_high = self._high - self._room * tf.exp(tf.where(self._above, log_above, 0))
        # From the nearer bound, for the distance to it keeps its digits.
        x = tf.where(self._below & (~self._above | (z < 0)), from_low, from_high)
        x = tf.where(self._free, z, tf.clip_by_value(x, self._first, self._last))
        return x, tf.reduce_sum(self._log_slope(log_below, log_above), axis=-1)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det, ``[batch]``."""
        inside = tf.clip_by_value(x, self._first, self._last)
        log_below = tf.math.log(tf.where(self._below, inside - self._low, 1))
        log_above = tf.math.log(tf.where(self._above, self._high - inside, 1))
        z = tf.where(self._free, x, log_below - log_above)
        log_room = np.log(self._room)
        return z, -tf.reduce_sum(self._log_slope(log_below - log_room, log_above - log_room), axis=-1)

    def _log_slope(self, log_below: tf.Tensor, log_above: tf.Tensor) -> tf.Tensor:
        """``log|dx/dz|`` by column, from the logarithms of the distances to the bounds in units of the room."""
        zero = tf.zeros([], log_below.dtype)
        return np.log(self._room) + tf.where(self._below, log_below, zero) + tf.where(self._above, log_above, zero)
