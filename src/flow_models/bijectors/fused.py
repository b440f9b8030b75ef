"""The base of our bijectors: a value and its log-determinant from one evaluation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp


class FusedBijector(tfp.bijectors.Bijector):
    """A TFP bijector that computes a value and its log-determinant together.

    TFP asks for the two one by one, and so runs every coupling network twice, forwards and
    backwards. Subclasses write the pair; TFP's own methods (``forward``, ``inverse``,
    ``forward_log_det_jacobian`` …) are derived from it and work as everywhere.

    Args:
        latent_shape: the event's shape on the latent side, ``(n,)`` or ``(height, width, channels)``.
        data_shape: the event's shape on the data side; the same number of elements.
        context_width: elements of the context ``[batch, context_width]`` that a conditional bijector takes as the
            argument ``context`` of its methods; None for one that takes none.
        dtype: of the parameters and of the values.
        name: of the bijector.

    Attributes:
        latent_parts: the shapes of the pieces that the latent side consists of, one after the other.

    A log-determinant is a tensor that broadcasts to the batch: a scalar where it depends on the
    parameters alone, which then costs nothing per image.
    """

    def __init__(
        self,
        *,
        latent_shape: tuple[int, ...],
        data_shape: tuple[int, ...],
        context_width: int | None = None,
        dtype: tf.DType,
        name: str,
    ) -> None:
        # TFP shares the cache of results between bijectors of equal parameters, and ours hold
        # variables: the unique object keeps each to its own cache.
        super().__init__(
            dtype=dtype,
            forward_min_event_ndims=len(latent_shape),
            inverse_min_event_ndims=len(data_shape),
            parameters={"name": name, "identity": object()},
            name=name,
        )
        self.latent_shape = tuple(latent_shape)
        self.latent_parts: tuple[tuple[int, ...], ...] = (self.latent_shape,)
        self.data_shape = tuple(data_shape)
        self.context_width = context_width

    @abstractmethod
    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map ``[batch, *latent_shape]`` to ``[batch, *data_shape]``, with ``log|dx/dz|``."""

    @abstractmethod
    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map ``[batch, *data_shape]`` to ``[batch, *latent_shape]``, with ``log|dz/dx|``."""

    def recompute_gradient(
        self, z: tf.Tensor, dz: tf.Tensor, d_log_det: tf.Tensor, weights: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | None]]:
        """Gradients of the inverse when only its result was kept: invert ``z`` and compute it again.

        Args:
            z: what ``inverse_and_log_det`` gave, ``[batch, *latent_shape]``.
            dz: the loss's gradient with respect to it.
            d_log_det: the loss's gradient with respect to the log-det, ``[batch]``.
            weights: with respect to which gradients are wanted.

        Returns:
            ``x``, the gradient with respect to it, and those with respect to the weights.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            x = self.forward_and_log_det(z)[0]
            tape.watch([x, *weights])
            again, log_det = self.inverse_and_log_det(x)
            log_det = log_det + tf.zeros_like(d_log_det)
        dx, *d_weights = tape.gradient([again, log_det], [x, *weights], [dz, d_log_det])
        return x, dx, d_weights

    def initialise(self, x: tf.Tensor) -> tf.Tensor:
        """Set what depends on a first batch of data, and return that batch on the latent side.

        Called once, before the first step of training, and never after loading.
        """
        return self.inverse_and_log_det(x)[0]

    def given(self, context: tf.Tensor | None) -> dict[str, Any]:
        """The context as a keyword argument, for a bijector that takes one; nothing for one that takes none."""
        return {} if self.context_width is None else {"context": context}

    def _forward(self, z: tf.Tensor, **given: tf.Tensor) -> tf.Tensor:
        return self.forward_and_log_det(z, **given)[0]

    def _inverse(self, x: tf.Tensor, **given: tf.Tensor) -> tf.Tensor:
        return self.inverse_and_log_det(x, **given)[0]

    def _forward_log_det_jacobian(self, z: tf.Tensor, **given: tf.Tensor) -> tf.Tensor:
        return self.forward_and_log_det(z, **given)[1]

    def _inverse_log_det_jacobian(self, x: tf.Tensor, **given: tf.Tensor) -> tf.Tensor:
        return self.inverse_and_log_det(x, **given)[1]

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return shape[: shape.rank - len(self.latent_shape)].concatenate(self.data_shape)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return shape[: shape.rank - len(self.data_shape)].concatenate(self.latent_shape)

    def _forward_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.concat([shape[: tf.size(shape) - len(self.latent_shape)], self.data_shape], axis=0)

    def _inverse_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.concat([shape[: tf.size(shape) - len(self.data_shape)], self.latent_shape], axis=0)
