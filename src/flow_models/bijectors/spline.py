"""Transform a part of the elements by monotone splines that depend on the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from flow_models.bijectors.coupling import Coupling, Network

SMALLEST = 1e-3  # of a bin, as a share of the interval, and of a slope
WIDTHS, HEIGHTS = 0, 1  # where the network's output has them


class Bin(NamedTuple):
    """For each value, the bin that holds it: where it begins, its size, and the slopes at its ends, ``[n]`` each."""

    left: tf.Tensor
    lower: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


class RationalQuadraticSplineCoupling(Coupling):
    r"""Spline coupling: the first elements pass, each of the rest goes through a spline of its own.

    The spline ``g`` has ``k`` bins on ``[-b, b]`` and is the identity outside. In the bin that goes from ``(u, v)``
    to ``(u + w, v + h)``, with slopes ``d`` and ``e`` at its ends, ``s = h / w`` and ``ξ = (x - u) / w``:

    - inverse:  ``z = g(x) = v + h · (s · ξ² + d · ξ(1-ξ)) / (s + (d + e - 2s) · ξ(1-ξ))``
    - forward:  ``x = g⁻¹(z) = u + w · ξ``, where ``ξ = -2C / (B + √(B² - 4AC))`` with ``t = z - v``,
      ``A = h(s - d) + t(d + e - 2s)``, ``B = h · d - t(d + e - 2s)``, ``C = -s · t``
    - log-det:  ``log|dx/dz| = -Σ log(s² · (e · ξ² + 2s · ξ(1-ξ) + d · (1-ξ)²) / (s + (d + e - 2s) · ξ(1-ξ))²)``

    Training runs the inverse, which needs no root. A network that gives 0 makes it the identity.

    Shapes: ``[batch, *event_shape]`` to the same; the last axis of the event is split.
    Durkan, Bekasov, Murray & Papamakarios 2019, equations 4 to 8 and appendix A.

    Args:
        event_shape: of the data, ``(n,)`` or ``(height, width, channels)``.
        passed: how many elements of the last axis pass unchanged; the network sees these.
        network: maps ``[batch, ..., passed]``, joined by the context if there is one, to ``[batch, ..., outputs]``
            with ``outputs`` those that ``outputs_needed`` says.
        bins: ``k``.
        bound: ``b``.
        context_width: elements of the context; None for an unconditional coupling.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        passed: int,
        network: Network,
        bins: int = 8,
        bound: float = 5.0,
        context_width: int | None = None,
        dtype: tf.DType = tf.float32,
        name: str = "spline_coupling",
    ) -> None:
        super().__init__(
            event_shape=event_shape,
            passed=passed,
            network=network,
            context_width=context_width,
            dtype=dtype,
            name=name,
        )
        self._bound = bound
        self._bins = _Bins(bins, bound, dtype)

    @staticmethod
    def outputs_needed(transformed: int, *, bins: int) -> int:
        """How many outputs the network has: widths, heights and inner slopes of each transformed element."""
        return (3 * bins - 1) * transformed

    def _transform_to_latent(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._elementwise(_to_latent, b, raw, among=WIDTHS)

    def _transform_to_data(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._elementwise(_to_data, b, raw, among=HEIGHTS)

    def _elementwise(
        self,
        evaluate: Callable[[tf.Tensor, Bin], tuple[tf.Tensor, tf.Tensor]],
        b: tf.Tensor,
        raw: tf.Tensor,
        *,
        among: int,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply the splines with the bins along the first axis, for a sum over it adds up long rows."""
        columns = b.shape[-1]
        values = tf.reshape(tf.transpose(tf.reshape(b, [-1, columns])), [-1])
        rows = tf.reshape(tf.transpose(tf.reshape(raw, [-1, raw.shape[-1]])), [raw.shape[-1] // columns, -1])
        inside = tf.clip_by_value(values, -self._bound, self._bound)
        mapped, log_slope = evaluate(inside, self._bins.that_hold(inside, rows, among=among))
        # Outside, the spline stays at its end, where its slope is 1: what was clipped off is added back.
        both = tf.reshape(tf.stack([mapped + (values - inside), log_slope]), [2, columns, -1])
        outputs = tf.unstack(tf.transpose(both, [0, 2, 1]))
        return tf.reshape(outputs[0], tf.shape(b)), tf.reshape(outputs[1], tf.shape(b))


def _to_latent(x: tf.Tensor, bin_: Bin) -> tuple[tf.Tensor, tf.Tensor]:
    """``g(x)`` and the logarithm of its slope (Durkan et al. 2019, equations 4 and 5)."""
    slope = bin_.height / bin_.width
    # Rounding must not leave the bin, outside of which the curve may fall.
    xi = tf.clip_by_value((x - bin_.left) / bin_.width, 0.0, 1.0)
    inner = xi * (1 - xi)
    denominator = slope + (bin_.first + bin_.last - 2 * slope) * inner
    z = bin_.lower + bin_.height * (slope * xi * xi + bin_.first * inner) / denominator
    return z, _log_slope(bin_, xi, inner, slope=slope, denominator=denominator)


def _to_data(z: tf.Tensor, bin_: Bin) -> tuple[tf.Tensor, tf.Tensor]:
    """``g⁻¹(z)`` and the logarithm of its slope (Durkan et al. 2019, equations 6 to 8)."""
    slope, above = bin_.height / bin_.width, z - bin_.lower
    excess = bin_.first + bin_.last - 2 * slope
    quadratic = bin_.height * (slope - bin_.first) + above * excess
    linear = bin_.height * bin_.first - above * excess
    constant = -slope * above
    # Negative by rounding only; and at 0 the root would have no gradient.
    root = tf.sqrt(tf.maximum(linear * linear - 4 * quadratic * constant, np.finfo(z.dtype.as_numpy_dtype).tiny))
    # Of the two forms of the one solution, that which takes no difference of near numbers.
    half, falling = 0.5 * (tf.abs(linear) + root), linear < 0
    xi = tf.where(falling, half, -constant) / tf.where(falling, quadratic, half)
    xi = tf.clip_by_value(xi, 0.0, 1.0)
    inner = xi * (1 - xi)
    return bin_.left + bin_.width * xi, -_log_slope(bin_, xi, inner, slope=slope, denominator=slope + excess * inner)


def _log_slope(bin_: Bin, xi: tf.Tensor, inner: tf.Tensor, *, slope: tf.Tensor, denominator: tf.Tensor) -> tf.Tensor:
    share = slope / denominator
    rest = 1 - xi
    return tf.math.log((bin_.last * xi * xi + 2 * slope * inner + bin_.first * rest * rest) * share * share)


class _Bins:
    """Finds the bin of each value. The gradient is written out, as few of the steps on arrays of all bins need one.

    Args:
        number: of bins.
        bound: the splines' interval is ``[-bound, bound]``.
        dtype: of the values.
    """

    def __init__(self, number: int, bound: float, dtype: tf.DType) -> None:
        self._number, self._interval, self._free = number, 2 * bound, 1 - number * SMALLEST
        sums = self._interval * self._free * np.tril(np.ones([2, number, number]), -1)
        smallest = self._interval * (SMALLEST * np.arange(number)[:, None] - 0.5)
        self._sums, self._smallest = (each.astype(dtype.as_numpy_dtype) for each in (sums, smallest))

    def that_hold(self, values: tf.Tensor, raw: tf.Tensor, *, among: int) -> Bin:
        """The bins that hold the values.

        Args:
            values: ``[n]``, in ``[-bound, bound]``.
            raw: ``[3 · bins - 1, n]``, real numbers: logits of the widths and of the heights, then inner slopes.
            among: ``WIDTHS`` for data, ``HEIGHTS`` for latents.
        """
        pick = tf.custom_gradient(lambda values, raw: self._pick(values, raw, among=among))
        ends, sizes, slopes = pick(tf.stop_gradient(values), raw)
        # Offset, so that a network's 0 is a slope of 1.
        slopes = SMALLEST + tf.nn.softplus(slopes + math.log(math.expm1(1 - SMALLEST)))
        return Bin(*tf.unstack(ends), *tf.unstack(sizes), *tf.unstack(slopes))

    def _pick(
        self, values: tf.Tensor, raw: tf.Tensor, *, among: int
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable[..., tuple[None, tf.Tensor]]]:
        """Lower ends, sizes and raw slopes of the bins, ``[2, n]`` each; and the gradient in ``raw``."""
        logits, slopes = tf.split(raw, [2 * self._number, self._number - 1])
        logits = tf.reshape(logits, [2, self._number, -1])
        exponentials = tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True))
        shares = exponentials / tf.reduce_sum(exponentials, axis=1, keepdims=True)
        edges = tf.matmul(self._sums, shares) + self._smallest
        reached = tf.cast(values >= edges[among], values.dtype)
        before = tf.concat([reached[1:], tf.zeros_like(reached[:1])], axis=0)
        own = reached - before
        ends = tf.reduce_sum(edges * own, axis=1)
        sizes = self._interval * (self._free * tf.reduce_sum(shares * own, axis=1) + SMALLEST)
        # The outermost slopes are 1: their part of the sum is empty.
        own_slopes = tf.stack([tf.reduce_sum(slopes * own[1:], axis=0), tf.reduce_sum(slopes * own[:-1], axis=0)])

        def gradient(of_ends: tf.Tensor, of_sizes: tf.Tensor, of_slopes: tf.Tensor) -> tuple[None, tf.Tensor]:
            of_shares = (of_ends[:, None] * before + of_sizes[:, None] * own) * shares
            of_logits = of_shares - shares * tf.reduce_sum(of_shares, axis=1, keepdims=True)
            scaled = (self._interval * self._free) * tf.reshape(of_logits, [2 * self._number, -1])
            return None, tf.concat([scaled, of_slopes[0] * own[1:] + of_slopes[1] * own[:-1]], axis=0)

        return (ends, sizes, own_slopes), gradient
