"""The networks inside couplings: any function will do, for they are never inverted."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class ConvNetwork(tf.Module):
    """Three convolutions, 3×3, 1×1 and 3×3, with ReLU between; the last starts at zero.

    So a coupling starts as the identity (Kingma & Dhariwal 2018, section 3.3).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        hidden: channels between.
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
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
        name: str = "conv_network",
    ) -> None:
        super().__init__(name=name)
        self._compute_dtype = compute_dtype or dtype
        shapes = [(3, 3, inputs, hidden), (1, 1, hidden, hidden), (3, 3, hidden, outputs)]
        gains = [np.sqrt(2.0 / np.prod(shape[:3])) for shape in shapes[:-1]] + [0.0]
        self._kernels = [
            tf.Variable(gain * rng.standard_normal(shape), dtype=dtype, name=f"kernel_{i}")
            for i, (shape, gain) in enumerate(zip(shapes, gains, strict=True))
        ]
        self._biases = [tf.Variable(tf.zeros(shape[-1], dtype), name=f"bias_{i}") for i, shape in enumerate(shapes)]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, height, width, inputs]`` to ``[batch, height, width, outputs]``."""
        h = tf.cast(x, self._compute_dtype)
        for kernel, bias in zip(self._kernels[:-1], self._biases[:-1], strict=True):
            h = tf.nn.relu(self._convolve(h, kernel, bias))
        return tf.cast(self._convolve(h, self._kernels[-1], self._biases[-1]), x.dtype)

    def _convolve(self, h: tf.Tensor, kernel: tf.Variable, bias: tf.Variable) -> tf.Tensor:
        kernel, bias = tf.cast(kernel, self._compute_dtype), tf.cast(bias, self._compute_dtype)
        return tf.nn.bias_add(tf.nn.conv2d(h, kernel, strides=1, padding="SAME"), bias)
