"""Transform a part of the elements by monotone splines that depend on the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from flow_models.bijectors.coupling import Coupling, Network

SMALLEST = 1e-3  # of a bin, as a share of the interval, and of a slope
LARGEST = 60.0  # output of a network that counts, either way: its exponential is far from the limits of float32
WORTH_COMPILING = 2**15  # elements of a network's output; below, to start XLA's code takes longer than it saves
WIDTHS, HEIGHTS = 0, 1  # where the network's output has them
Evaluate: TypeAlias = Callable[..., tuple[tf.Tensor, tf.Tensor]]
Size: TypeAlias = tf.Tensor | float


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
        self._bins = _Bins(bins, bound)

    @staticmethod
    def outputs_needed(transformed: int, *, bins: int) -> int:
        """How many outputs the network has: widths, heights and inner slopes of each transformed element."""
        return (3 * bins - 1) * transformed

    def _transform_to_latent(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._elementwise(_to_latent, b, raw)

    def _transform_to_data(self, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._elementwise(_to_data, b, raw)

    def _elementwise(self, evaluate: Evaluate, b: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply the splines with the bins along the first axis, for a sum over it adds up long rows."""
        columns = b.shape[-1]
        values = tf.reshape(tf.transpose(tf.reshape(b, [-1, columns])), [-1])
        rows = tf.reshape(tf.transpose(tf.reshape(raw, [-1, raw.shape[-1]])), [raw.shape[-1] // columns, -1])
        # XLA compiles anew for every size: worth it for large arrays of one size for good, as in training.
        size = rows.shape.num_elements()
        lasting = size is not None and size >= WORTH_COMPILING and not tf.executing_eagerly()
        spline = _compiled(evaluate, self._bins) if lasting else partial(evaluate, self._bins)
        both = tf.unstack(tf.transpose(tf.reshape(tf.stack(spline(values, rows)), [2, columns, -1]), [0, 2, 1]))
        return tf.reshape(both[0], tf.shape(b)), tf.reshape(both[1], tf.shape(b))


def _to_latent(bins: _Bins, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """``g(x)`` and the logarithm of its slope, ``[n]`` each (Durkan et al. 2019, equations 4 and 5)."""
    inside = tf.clip_by_value(x, -bins.bound, bins.bound)
    left, lower, width, height, d, e = bins.that_hold(inside, raw, among=WIDTHS)
    slope = height / width
    # Rounding must not leave the bin, outside of which the curve may fall.
    xi = tf.clip_by_value((inside - left) / width, 0.0, 1.0)
    inner = xi * (1 - xi)
    denominator = slope + (d + e - 2 * slope) * inner
    z = lower + height * (slope * xi * xi + d * inner) / denominator
    # Outside, the curve stays at its end, where its slope is 1: what was clipped off is added back.
    return z + (x - inside), log_slope_in_bin(xi, slope, d, e)


def _to_data(bins: _Bins, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """``g⁻¹(z)`` and the logarithm of its slope, ``[n]`` each (Durkan et al. 2019, equations 6 to 8)."""
    inside = tf.clip_by_value(z, -bins.bound, bins.bound)
    left, lower, width, height, d, e = bins.that_hold(inside, raw, among=HEIGHTS)
    slope = height / width
    xi = position_in_bin(inside - lower, height, slope, d, e)
    return left + width * xi + (z - inside), -log_slope_in_bin(xi, slope, d, e)


def position_in_bin(above: tf.Tensor, height: Size, slope: Size, d: tf.Tensor, e: tf.Tensor) -> tf.Tensor:
    """Where in [0, 1] of its width a bin's curve lies so far ``above`` its lower end (Durkan et al. 2019, eq. 6 to 8).

    ``slope`` is its height by its width, ``d`` and ``e`` the slopes of the curve at its ends.
    """
    excess = above * (d + e - 2 * slope)
    quadratic, linear, constant = height * (slope - d) + excess, height * d - excess, -slope * above
    # Negative by rounding only; and at 0 the root would have no gradient.
    root = tf.sqrt(tf.maximum(linear * linear - 4 * quadratic * constant, np.finfo(above.dtype.as_numpy_dtype).tiny))
    # Of the two forms of the one solution, that which takes no difference of near numbers.
    half, falling = 0.5 * (tf.abs(linear) + root), linear < 0
    xi = tf.where(falling, half, -constant) / tf.where(falling, quadratic, half)
    return tf.clip_by_value(xi, 0.0, 1.0)


def log_slope_in_bin(xi: tf.Tensor, slope: Size, d: tf.Tensor, e: tf.Tensor) -> tf.Tensor:
    """The logarithm of the curve's slope where it is at ``xi`` in [0, 1] of the bin (Durkan et al. 2019, eq. 5)."""
    rest = 1 - xi
    share = slope / (slope + (d + e - 2 * slope) * xi * rest)
    return tf.math.log((e * xi * xi + 2 * slope * xi * rest + d * rest * rest) * share * share)


@cache
def _compiled(evaluate: Evaluate, bins: _Bins) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The spline and its gradient as one piece of machine code each, for all couplings with these bins.

    The gradient computes the spline again, which takes less time than to store what lies between.
    """
    spline = partial(evaluate, bins)
    forward = tf.function(spline, jit_compile=True, autograph=False)

    def gradient(values: tf.Tensor, raw: tf.Tensor, *of_outputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([values, raw])
            outputs = spline(values, raw)
        return tape.gradient(outputs, [values, raw], of_outputs)

    backward = tf.function(gradient, jit_compile=True, autograph=False)

    @tf.custom_gradient
    def apply(values: tf.Tensor, raw: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., list[tf.Tensor]]]:
        z, log_slope = forward(values, raw)
        return (z, log_slope), lambda *of_outputs: backward(values, raw, *of_outputs)

    return apply


@dataclass(frozen=True)
class _Bins:
    """Finds the bin of each value. The gradient is written out, as few of the steps on arrays of all bins need one.

    Attributes:
        number: of bins.
        bound: the splines' interval is ``[-bound, bound]``.
    """

    number: int
    bound: float

    def that_hold(self, values: tf.Tensor, raw: tf.Tensor, *, among: int) -> list[tf.Tensor]:
        """Of the bins that hold the values: left and lower end, width and height, first and last slope, ``[n]`` each.

        Args:
            values: ``[n]``, in ``[-bound, bound]``.
            raw: ``[3 · bins - 1, n]``, real numbers: logits of the widths and of the heights, then inner slopes.
            among: ``WIDTHS`` for data, ``HEIGHTS`` for latents.
        """
        pick = tf.custom_gradient(lambda values, raw: self._pick(values, raw, among=among))
        ends, sizes, slopes = pick(tf.stop_gradient(values), raw)
        # Offset, so that a network's 0 is a slope of 1. TensorFlow's own softplus takes longer.
        bounded = tf.clip_by_value(slopes, -LARGEST, LARGEST) + math.log(math.expm1(1 - SMALLEST))
        slopes = SMALLEST + tf.math.log1p(tf.exp(bounded))
        return [part for pair in (ends, sizes, slopes) for part in tf.unstack(pair)]

    def _pick(
        self, values: tf.Tensor, raw: tf.Tensor, *, among: int
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable[..., tuple[None, tf.Tensor]]]:
        """Lower ends, sizes and raw slopes of the bins, ``[2, n]`` each; and the gradient in ``raw``."""
        number, interval = self.number, 2 * self.bound
        free = 1 - number * SMALLEST
        logits, slopes = tf.split(raw, [2 * number, number - 1])
        weights = tf.exp(tf.clip_by_value(tf.reshape(logits, [2, number, -1]), -LARGEST, LARGEST))
        total = tf.reduce_sum(weights, axis=1)
        # Where bins begin, as a share of what is free: the sum of those before, and of their smallest sizes.
        sums = np.tril(np.ones([number, number]), -1) + SMALLEST / free * np.arange(number)[:, None]
        begins = tf.matmul(sums.astype(raw.dtype.as_numpy_dtype), weights[among])
        reached = tf.cast(total[among] * (values / interval + 0.5) / free >= begins, values.dtype)
        before = tf.concat([reached[1:], tf.zeros_like(reached[:1])], axis=0)
        own = reached - before
        left, size = tf.reduce_sum(weights * before, axis=1), tf.reduce_sum(weights * own, axis=1)
        scale = interval * free / total
        ends = scale * left + interval * (SMALLEST * tf.reduce_sum(before, axis=0) - 0.5)
        sizes = scale * size + interval * SMALLEST
        # The outermost slopes are 1: their part of the sum is empty.
        own_slopes = tf.stack([tf.reduce_sum(slopes * own[1:], axis=0), tf.reduce_sum(slopes * own[:-1], axis=0)])

        def gradient(of_ends: tf.Tensor, of_sizes: tf.Tensor, of_slopes: tf.Tensor) -> tuple[None, tf.Tensor]:
            of_left, of_size = scale * of_ends, scale * of_sizes
            of_total = (of_left * left + of_size * size) / total
            of_logits = weights * (of_left[:, None] * before + of_size[:, None] * own - of_total[:, None])
            of_inner = of_slopes[0] * own[1:] + of_slopes[1] * own[:-1]
            return None, tf.concat([tf.reshape(of_logits, [2 * number, -1]), of_inner], axis=0)

        return (ends, sizes, own_slopes), gradient
