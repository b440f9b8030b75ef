"""A bijector that sees its context through a network."""

from __future__ import annotations

import tensorflow as tf

from flow_models.bijectors.coupling import Network
from flow_models.bijectors.fused import FusedBijector
from flow_models.bijectors.standardise import Standardise
from flow_models.bijectors.whiten import Whiten


class Conditional(FusedBijector):
    r"""A conditional bijector ``f`` whose context ``c`` is standardised and summarised by a network ``h`` first.

    - forward:  ``x = f(z; h(c))``
    - inverse:  ``z = f⁻¹(x; h(c))``
    - log-det:  that of ``f``

    The network runs once, however many couplings read what it makes of the context.

    Shapes: those of ``f``; context ``[batch, context_width]``.

    Args:
        bijector: ``f``.
        network: ``h``, maps ``[batch, context_width]`` to ``[batch, bijector.context_width]``.
        context_width: elements of the context.
        standardise: whether it is standardised; False where its network must see it as it is.
        whiten: whether its elements lose their correlations too, not their units alone.
        aligned: whether they then keep their axes, see ``Whiten``.
    """

    def __init__(
        self,
        bijector: FusedBijector,
        *,
        network: Network,
        context_width: int,
        standardise: bool = True,
        whiten: bool = False,
        aligned: bool = False,
        name: str = "conditional",
    ) -> None:
        super().__init__(
            latent_shape=bijector.latent_shape,
            data_shape=bijector.data_shape,
            context_width=context_width,
            dtype=bijector.dtype,
            name=name,
        )
        self._bijector, self._network = bijector, network
        shape = (context_width,)
        self._units: FusedBijector | None = None
        if standardise:
            self._units = Standardise(event_shape=shape, dtype=bijector.dtype)
        if standardise and whiten:
            self._units = Whiten(event_shape=shape, aligned=aligned, dtype=bijector.dtype)

    def forward_and_log_det(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det."""
        return self._bijector.forward_and_log_det(z, **self._bijector.given(self._summary(context)))

    def inverse_and_log_det(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det."""
        return self._bijector.inverse_and_log_det(x, **self._bijector.given(self._summary(context)))

    def initialise(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Take the context's mean and deviation from the batch, then initialise the bijector."""
        if self._units is not None:
            self._units.initialise(context)
        return self._bijector.initialise(x, **self._bijector.given(self._summary(context)))

    def _summary(self, context: tf.Tensor | None) -> tf.Tensor:
        seen = context if self._units is None else self._units.inverse_and_log_det(context)[0]
        return self._network(seen)
