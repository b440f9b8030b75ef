"""Transform one half of the channels by a scale and shift that depend on the other half."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector

Network = Callable[[tf.Tensor], tf.Tensor]


class AffineCoupling(FusedBijector):
    r"""Affine coupling: the first channels ``a`` pass, the rest ``b`` are scaled and shifted.

    With ``(s̃, t) = network(a)`` and the soft clamp ``s = c · tanh(s̃ / c)``:

    - forward:  ``x_a = z_a``, ``x_b = exp(-s) · z_b - t``
    - inverse:  ``z_a = x_a``, ``z_b = exp(s) · (x_b + t)``
    - log-det:  ``log|dx/dz| = -Σ s`` over the event

    The clamp keeps every scale within ``exp(±c)``, so that neither direction can overflow far
    from the training data. The signs are those with the fewest passes over the image in the
    inverse, which is what training runs.

    Shapes: ``[batch, *event_shape]`` to the same; the last axis of the event is the channels.
    Dinh, Sohl-Dickstein & Bengio 2017, equations 7 and 8.

    Args:
        event_shape: of the data, ``(n,)`` or ``(height, width, channels)``.
        passed: how many channels pass unchanged; the network sees these.
        network: maps ``[batch, ..., passed]`` to ``[batch, ..., 2 · (channels - passed)]``.
        clamp: ``c``.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        passed: int,
        network: Network,
        clamp: float = 2.0,
        dtype: tf.DType = tf.float32,
        name: str = "affine_coupling",
    ) -> None:
        super().__init__(latent_shape=event_shape, data_shape=event_shape, dtype=dtype, name=name)
        self.passed = passed
        self._network = network
        self._clamp = clamp
        self._axes = list(range(1, len(event_shape) + 1))

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and ``-Σ s``, ``[batch]``."""
        a, b = self._halves(z)
        log_scale, shift = self._parameters_from(a)
        x = tf.concat([a, b * tf.exp(-log_scale) - shift], axis=-1)
        return x, -tf.reduce_sum(log_scale, axis=self._axes)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and ``Σ s``, ``[batch]``."""
        a, b = self._halves(x)
        log_scale, shift = self._parameters_from(a)
        z = tf.concat([a, (b + shift) * tf.exp(log_scale)], axis=-1)
        return z, tf.reduce_sum(log_scale, axis=self._axes)

    def recompute_gradient(
        self, z: tf.Tensor, dz: tf.Tensor, d_log_det: tf.Tensor, weights: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | None]]:
        """As in ``FusedBijector``, with the network run once: what it sees is the same on both sides."""
        a, z_b = self._halves(z)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([a, *weights])
            log_scale, shift = self._parameters_from(a)
            with tape.stop_recording():
                x_b = z_b * tf.exp(-log_scale) - shift
            tape.watch(x_b)
            again = (x_b + shift) * tf.exp(log_scale)
            log_det = tf.reduce_sum(log_scale, axis=self._axes)
        dz_a, dz_b = self._halves(dz)
        da, dx_b, *d_weights = tape.gradient([again, log_det], [a, x_b, *weights], [dz_b, d_log_det])
        return tf.concat([a, x_b], axis=-1), tf.concat([dz_a + da, dx_b], axis=-1), d_weights

    def _halves(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Not slices: the gradient of a slice is a padded copy of the whole.
        return tf.split(x, [self.passed, self.data_shape[-1] - self.passed], axis=-1)

    def _parameters_from(self, a: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw, shift = tf.split(self._network(a), 2, axis=-1)
        return self._clamp * tf.tanh(raw / self._clamp), shift
