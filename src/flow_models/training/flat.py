"""All weights of a model as one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf


class FlatWeights:
    """Reads and writes a model's weights as one vector ``[parameters]``.

    A flow has hundreds of small weights. Optimizer, running average, clipping and checkpoints
    work on one vector instead, so their cost does not grow with the number of layers.
    """

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        self._variables = list(variables)
        self._sizes = [math.prod(variable.shape) for variable in self._variables]

    def read(self) -> tf.Tensor:
        """The weights."""
        return self.flatten(self._variables)

    def flatten(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Tensors shaped like the weights, such as their gradients, as one vector."""
        return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)

    def write(self, vector: tf.Tensor) -> None:
        """Set the weights."""
        for variable, part in zip(self._variables, tf.split(vector, self._sizes), strict=True):
            variable.assign(tf.reshape(part, variable.shape))

    def kernels(self) -> tf.Tensor:
        """1 where a weight belongs to the kernel of a network's layer, and 0 elsewhere: ``[parameters]``.

        Known by their name, for stacked biases are matrices too.
        """
        parts = [
            tf.fill([size], tf.cast(variable.name.partition(":")[0] == "kernel", variable.dtype))
            for variable, size in zip(self._variables, self._sizes, strict=True)
        ]
        return tf.concat(parts, axis=0)
