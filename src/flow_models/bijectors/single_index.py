"""Each element through a spline of its own, which depends on what a linear regression expects of that element."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector
from flow_models.bijectors.spline import RationalQuadraticSplineCoupling
from flow_models.bijectors.whiten import Whiten, positive

# In deviations of the element: what is expected of a uniform one lies within, of a normal one mostly.
_REACH = 2.0
_KNOTS = 9
_BINS = 8


class SingleIndex(FusedBijector):
    r"""``Whiten`` given a context, then each element by a spline that depends on what is expected of that element.

    With ``w`` the whitening, ``t = (c - c̄) A`` what its regression expects in units of the elements' deviations, and
    ``g`` the splines of ``RationalQuadraticSplineCoupling``:

    - forward:  ``x = w⁻¹(g⁻¹(z; t); c)``
    - inverse:  ``z_i = g_i(w(x; c)_i; t_i)``
    - log-det:  those of both added

    The parameters of ``g_i`` are linear in ``t_i`` between a few knots, and 0 to start with: the identity. One number
    stands for the whole context (Ichimura 1993, "Semiparametric least squares (SLS) and weighted SLS estimation of
    single-index models"): how an element is skewed, or cut off by a bound, where a large one is expected is learned
    from few rows, and not left to networks that read all of the context for all of the elements. Where nothing linear
    is known of an element, t is about 0. Whitening keeps the axes of the elements here.

    Shapes: ``[batch, n]`` to the same; context ``[batch, context_width]``.

    Args:
        event_shape: of the data, ``(n,)``.
        context_width: elements of the context.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        context_width: int,
        dtype: tf.DType = tf.float32,
        name: str = "single_index",
    ) -> None:
        super().__init__(
            latent_shape=event_shape, data_shape=event_shape, context_width=context_width, dtype=dtype, name=name
        )
        (width,) = event_shape
        outputs = RationalQuadraticSplineCoupling.outputs_needed(1, bins=_BINS)
        self._whiten = Whiten(event_shape=event_shape, context_width=context_width, aligned=True, dtype=dtype)
        self._splines = RationalQuadraticSplineCoupling(
            event_shape=event_shape,
            passed=0,
            network=_PiecewiseLinear(width, outputs, dtype),
            bins=_BINS,
            context_width=width,
            dtype=dtype,
        )
        self._deviation = tf.Variable(tf.ones([width], dtype), trainable=False, name="deviation")

    def forward_and_log_det(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and its log-det, ``[batch]``."""
        left, of_splines = self._splines.forward_and_log_det(z, context=self._index(context))
        x, of_whitening = self._whiten.forward_and_log_det(left, context=context)
        return x, of_splines + of_whitening

    def inverse_and_log_det(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and its log-det, ``[batch]``."""
        left, of_whitening = self._whiten.inverse_and_log_det(x, context=context)
        z, of_splines = self._splines.inverse_and_log_det(left, context=self._index(context))
        return z, of_whitening + of_splines

    def initialise(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Whiten by the rows ``x`` and their ``context``, and take the elements' deviations from them."""
        self._whiten.initialise(x, context=context)
        self._deviation.assign(tf.cast(positive(np.asarray(x, np.float64).std(axis=0)), self.dtype))
        return self.inverse_and_log_det(x, context)[0]

    def _index(self, context: tf.Tensor | None) -> tf.Tensor:
        return self._whiten.expected(context) / self._deviation


class _PiecewiseLinear(tf.Module):
    """Numbers of each element that are linear in its index between knots at equal distances, and constant beyond.

    Not named a kernel: what decays as a network's does would keep the splines from bending as far as they should.
    """

    def __init__(self, elements: int, outputs: int, dtype: tf.DType) -> None:
        super().__init__(name="piecewise_linear")
        self._at_knots = tf.Variable(tf.zeros([elements, _KNOTS, outputs], dtype), name="at_knots")

    def __call__(self, t: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, elements]`` to ``[batch, outputs · elements]``, in which the elements lie side by side."""
        elements, _, outputs = self._at_knots.shape
        knots = tf.constant(np.linspace(-_REACH, _REACH, _KNOTS), t.dtype)
        at = tf.transpose(tf.clip_by_value(t, -_REACH, _REACH))[:, :, tf.newaxis]
        distance = abs(at - knots) * (_KNOTS - 1) / (2 * _REACH)
        each = tf.matmul(tf.nn.relu(1 - distance), self._at_knots)  # [elements, batch, outputs]
        return tf.reshape(tf.transpose(each, [1, 2, 0]), [-1, outputs * elements])
