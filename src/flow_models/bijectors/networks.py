"""The networks inside couplings: any function will do, for they are never inverted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import tensorflow as tf

# What a network was never trained on it would extend without bound: far from the data latents grow to 1e6, which
# float32 cannot take back (Behrmann et al. 2021, "Understanding and mitigating exploding inverses in invertible neural
# networks"). ActNorm gives what comes in a deviation of about 1, so most of it lies within the bound.
INPUT_BOUND = 3.0


class ConvNetwork(tf.Module):
    """Three convolutions, 3×3, 1×1 and 3×3, with ReLU between; the last starts at zero.

    So a coupling starts as the identity (Kingma & Dhariwal 2018, section 3.3). What comes in is clipped to
    ±``INPUT_BOUND``, which makes the flow invertible in float32 much farther from the training data; it is no
    guarantee for every image or all weights.

    With ``places`` two channels more come in, the row and the column, as in Liu et al. 2018, "An intriguing failing of
    convolutional neural networks and the CoordConv solution", section 3: what is usual in an image depends on where.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        hidden: channels between.
        places: height and width of what comes in; None for a network that is the same everywhere.
        rng: draws the starting weights (He et al. 2015, equation 10).
        dtype: of the weights, the input and the output.
        compute_dtype: of the convolutions and what lies between them.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        hidden: int,
        rng: np.random.Generator,
        places: tuple[int, int] | None = None,
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
        name: str = "conv_network",
    ) -> None:
        super().__init__(name=name)
        self._compute_dtype = compute_dtype or dtype
        self._coordinates = None if places is None else _coordinates(*places)
        more = 0 if places is None else len(places)
        draw = Draw(rng, dtype, self._compute_dtype)
        self._hidden = [draw.layer(3, 3, inputs + more, hidden), draw.layer(1, 1, hidden, hidden)]
        self._last = draw.layer(3, 3, hidden, outputs, gain=0.0)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, height, width, inputs]`` to ``[batch, height, width, outputs]``."""
        h = tf.clip_by_value(tf.cast(x, self._compute_dtype), -INPUT_BOUND, INPUT_BOUND)
        if self._coordinates is not None:
            each = tf.constant(self._coordinates, h.dtype)
            h = tf.concat([h, tf.broadcast_to(each, [tf.shape(h)[0], *each.shape])], axis=-1)
        for layer in self._hidden:
            h = tf.nn.relu(layer(h))
        return tf.cast(self._last(h), x.dtype)


class ConvResidualNetwork(tf.Module):
    """A 3×3 convolution, residual blocks of two 3×3 convolutions, and a last one that starts at zero.

    Blocks add to what comes in, with ReLU before each convolution (He et al. 2016, figure 4e; used in couplings
    by Dinh, Sohl-Dickstein & Bengio 2017, section 4.1).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        hidden: channels between.
        blocks: how many.
        rng: draws the starting weights (He et al. 2015, equation 10).
        dtype: of the weights, the input and the output.
        compute_dtype: of the convolutions and what lies between them.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        hidden: int,
        blocks: int,
        rng: np.random.Generator,
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
        name: str = "conv_residual_network",
    ) -> None:
        super().__init__(name=name)
        self._compute_dtype = compute_dtype or dtype
        draw = Draw(rng, dtype, self._compute_dtype)
        self._first = draw.layer(3, 3, inputs, hidden)
        self._blocks = [(draw.layer(3, 3, hidden, hidden), draw.layer(3, 3, hidden, hidden)) for _ in range(blocks)]
        self._last = draw.layer(3, 3, hidden, outputs, gain=0.0)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, height, width, inputs]`` to ``[batch, height, width, outputs]``."""
        h = self._first(tf.cast(x, self._compute_dtype))
        for one, two in self._blocks:
            h += two(tf.nn.relu(one(tf.nn.relu(h))))
        return tf.cast(self._last(tf.nn.relu(h)), x.dtype)


class DenseNetwork(tf.Module):
    """Dense layers with ReLU between; the last starts at zero, so that a coupling starts as the identity.

    Args:
        inputs: elements that come in; 0 for a network that is a constant.
        outputs: elements that go out.
        hidden: elements of each layer between.
        residual: whether each hidden layer but the first adds to what comes in; they are then of one width.
        last_gain: scale of the last layer's starting weights, 1 for one that does not start at zero.
        bias: the hidden layers' biases start uniform in ``±bias / √elements``, by what comes in.
        rng: draws the starting weights (He et al. 2015, equation 10).
        dtype: of the weights, the input and the output.
        compute_dtype: of the products and what lies between them.
    """

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        rng: np.random.Generator,
        residual: bool = False,
        last_gain: float = 0.0,
        bias: float = 0.0,
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
    ) -> None:
        super().__init__(name="dense_network")
        self._compute_dtype, self._residual = compute_dtype or dtype, residual
        draw = Draw(rng, dtype, self._compute_dtype)
        self._constant = inputs == 0
        sizes = [max(inputs, 1), *hidden]
        self._layers = [draw.layer(a, b, bias=bias) for a, b in pairwise(sizes)]
        self._last = draw.layer(sizes[-1], outputs, gain=last_gain)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, inputs]`` to ``[batch, outputs]``."""
        if self._constant:
            # oneDNN aborts the process over a matrix without columns.
            x = tf.zeros([tf.shape(x)[0], 1], x.dtype)
        h = tf.nn.relu(self._layers[0](tf.cast(x, self._compute_dtype)))
        for layer in self._layers[1:]:
            added = tf.nn.relu(layer(h))
            h = h + added if self._residual else added
        return tf.cast(self._last(h), x.dtype)


def _coordinates(height: int, width: int) -> np.ndarray:
    """Row and column of each position, ``[height, width, 2]``, with a deviation of about 1 as all that comes in."""
    ends = math.sqrt(3)
    places = np.meshgrid(np.linspace(-ends, ends, height), np.linspace(-ends, ends, width), indexing="ij")
    return np.stack(places, axis=-1)


class _Layer(tf.Module):
    """A dense layer, or a convolution if its kernel has four axes."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, dtype: tf.DType, compute_dtype: tf.DType) -> None:
        super().__init__(name="layer")
        self._compute_dtype = compute_dtype
        self._kernel = tf.Variable(kernel, dtype=dtype, name="kernel")
        self._bias = tf.Variable(bias, dtype=dtype, name="bias")

    def __call__(self, h: tf.Tensor) -> tf.Tensor:
        kernel = tf.cast(self._kernel, self._compute_dtype)
        dense = kernel.shape.rank == 2  # noqa: PLR2004 - a matrix
        product = tf.matmul(h, kernel) if dense else tf.nn.conv2d(h, kernel, strides=1, padding="SAME")
        return tf.nn.bias_add(product, tf.cast(self._bias, self._compute_dtype))


@dataclass(frozen=True)
class Draw:
    """Draws layers."""

    rng: np.random.Generator
    dtype: tf.DType
    compute_dtype: tf.DType

    def layer(self, *shape: int, gain: float = 1.0, bias: float = 0.0) -> _Layer:
        """One whose kernel has this shape; a gain of 0 makes it start at zero, and a bias of 0 its biases."""
        inputs = math.prod(shape[:-1])
        kernel = gain * np.sqrt(2.0 / inputs) * self.rng.standard_normal(shape)
        biases = bias / np.sqrt(inputs) * self.rng.uniform(-1, 1, shape[-1]) if bias else np.zeros(shape[-1])
        return _Layer(kernel, biases, self.dtype, self.compute_dtype)
