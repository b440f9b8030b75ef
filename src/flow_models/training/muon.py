"""Muon: steps of one size in every direction of a kernel."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras

from flow_models.training.flat import FlatWeights

MOMENTUM = 0.95
# Of the polynomial a s + b s³ + c s⁵ that brings singular values between 0 and 1 near 1 in few rounds.
QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 5
LIKE_ADAM = 0.2  # root mean square of a step, by the rate


class Muon(tf_keras.optimizers.Adam):
    r"""Muon for the kernels of networks, Adam for every other weight.

    With the gradient ``G`` of a kernel ``W``, as a matrix ``[inputs, outputs]`` (of a convolution, the inputs are those
    of all its places), and μ = 0.95:

    - ``M ← μ M + G``, ``O = orthogonal(G + μ M)``
    - ``W ← W - 0.2 √(max(inputs, outputs)) · rate · O``

    Where a gradient is large along few directions, Adam hardly moves along the others; here all are learned alike. The
    elements of a step are as large as Adam's, so one rate serves for all weights.

    References:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
        scalable for LLM training", equation 4 (the scale).

    Args:
        flat: says which of the one vector of weights are kernels.
    """

    def __init__(self, flat: FlatWeights) -> None:
        super().__init__()
        self._flat = flat

    def build(self, var_list: list[tf.Variable]) -> None:
        """Make room for the moments of ``[the one vector of weights]``; each step calls it again."""
        super().build(var_list)
        if not hasattr(self, "_momentum"):
            (weights,) = var_list
            self._momentum = self.add_variable_from_reference(weights, "momentum")

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Take a step along the gradient ``[parameters]``."""
        self._momentum.assign(MOMENTUM * self._momentum + gradient)
        steps = self._flat.of_kernels(gradient + MOMENTUM * self._momentum, _step)
        super().update_step(gradient * (1 - self._flat.kernels()), variable)
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * steps)


def orthogonal(matrix: tf.Tensor) -> tf.Tensor:
    """About the nearest with singular values of 1, ``[…, rows, columns]``: they come within 0.7 and 1.2.

    By Newton and Schulz's iteration, which takes products of matrices alone.
    """
    wide = matrix.shape[-2] <= matrix.shape[-1]
    x = matrix if wide else tf.linalg.matrix_transpose(matrix)
    x /= tf.maximum(tf.norm(x, axis=[-2, -1], keepdims=True), 1e-12)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return x if wide else tf.linalg.matrix_transpose(x)


def _step(matrix: tf.Tensor) -> tf.Tensor:
    return LIKE_ADAM * math.sqrt(max(matrix.shape[-2:])) * orthogonal(matrix)
