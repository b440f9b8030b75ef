"""Transform one part of the elements in a way that depends on the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector

Network = Callable[[tf.Tensor], tf.Tensor]


class Coupling(FusedBijector):
    """The base of couplings: the first elements of the last axis pass, the rest are transformed one by one.

    Subclasses write how, from what the network makes of the part that passes and of the context, if there is one.

    Args:
        event_shape: of the data, ``(n,)`` or ``(height, width, channels)``.
        passed: how many elements of the last axis pass unchanged.
        network: maps ``[batch, ..., passed + context_width]`` to the parameters of the transform.
        context_width: elements of the context ``[batch, ..., context_width]``; None for an unconditional coupling.
        dtype: of the values.
        name: of the bijector.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        passed: int,
        network: Network,
        context_width: int | None,
        dtype: tf.DType,
        name: str,
    ) -> None:
        super().__init__(
            latent_shape=event_shape, data_shape=event_shape, context_width=context_width, dtype=dtype, name=name
        )
        self.passed = passed
        self._network = network
        self._axes = list(range(1, len(event_shape) + 1))

    def forward_and_log_det(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det, ``[batch]``."""
        a, b = self._halves(z)
        x, log_slope = self._transform_to_data(b, self._parameters_from(a, context))
        return tf.concat([a, x], axis=-1), tf.reduce_sum(log_slope, axis=self._axes)

    def inverse_and_log_det(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det, ``[batch]``."""
        a, b = self._halves(x)
        z, log_slope = self._transform_to_latent(b, self._parameters_from(a, context))
        return tf.concat([a, z], axis=-1), tf.reduce_sum(log_slope, axis=self._axes)

    def initialise(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Couplings depend on no batch."""
        return self.inverse_and_log_det(x, context)[0]

    def recompute_gradient(
        self, z: tf.Tensor, dz: tf.Tensor, d_log_det: tf.Tensor, weights: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | None]]:
        """As in ``FusedBijector``, with the network run once: what it sees is the same on both sides."""
        a, z_b = self._halves(z)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([a, *weights])
            raw = self._parameters_from(a, None)
            with tape.stop_recording():
                x_b, _ = self._transform_to_data(z_b, raw)
            tape.watch(x_b)
            again, log_slope = self._transform_to_latent(x_b, raw)
            log_det = tf.reduce_sum(log_slope, axis=self._axes)
        dz_a, dz_b = self._halves(dz)
        da, dx_b, *d_weights = tape.gradient([again, log_det], [a, x_b, *weights], [dz_b, d_log_det])
        return tf.concat([a, x_b], axis=-1), tf.concat([dz_a + da, dx_b], axis=-1), d_weights

    @abstractmethod
    def _transform_to_data(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Latents ``b`` to data, and the logarithm of each element's slope, by the network's output ``raw``."""

    @abstractmethod
    def _transform_to_latent(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Data ``b`` to latents, and the logarithm of each element's slope, by the network's output ``raw``."""

    def _halves(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Not slices: the gradient of a slice is a padded copy of the whole.
        return tf.split(x, [self.passed, self.data_shape[-1] - self.passed], axis=-1)

    def _parameters_from(self, a: tf.Tensor, context: tf.Tensor | None) -> tf.Tensor:
        return self._network(a if context is None else tf.concat([a, context], axis=-1))


class AffineCoupling(Coupling):
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
        network: maps ``[batch, ..., passed]``, joined by the context if there is one, to
            ``[batch, ..., 2 · (channels - passed)]``.
        clamp: ``c``.
        context_width: elements of the context; None for an unconditional coupling.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        passed: int,
        network: Network,
        clamp: float = 2.0,
        context_width: int | None = None,
        dtype: tf.DType = tf.float32,
        name: str = "affine_coupling",
    ) -> None:
        super().__init__(
            event_shape=event_shape,
            passed=passed,
            network=network,
            context_width=context_width,
            dtype=dtype,
            name=name,
        )
        self._clamp = clamp

    def _transform_to_data(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale, shift = self._scale_and_shift(raw)
        return b * tf.exp(-log_scale) - shift, -log_scale

    def _transform_to_latent(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale, shift = self._scale_and_shift(raw)
        return (b + shift) * tf.exp(log_scale), log_scale

    def _scale_and_shift(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw_scale, shift = tf.split(raw, 2, axis=-1)
        return self._clamp * tf.tanh(raw_scale / self._clamp), shift
