"""All weights of a model as one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
        """1 where a weight belongs to the kernel of a network's layer, and 0 elsewhere: ``[parameters]``."""
        return self.of_kernels(tf.ones([sum(self._sizes)], self._variables[0].dtype), tf.ones_like)

    def of_kernels(self, vector: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """What ``change`` makes of the kernels of networks' layers, and 0 elsewhere: ``[parameters]``.

        It is given each as ``[inputs, outputs]``, or many of one shape as ``[layers, inputs, outputs]``. They are known
        by their name, for stacked biases are matrices too.
        """
        parts = tf.split(vector, self._sizes)
        changed = [
            tf.reshape(change(_as_matrices(part, variable.shape)), [-1])
            if variable.name.partition(":")[0] == "kernel"
            else tf.zeros_like(part)
            for variable, part in zip(self._variables, parts, strict=True)
        ]
        return tf.concat(changed, axis=0)


def _as_matrices(part: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """A kernel has two axes or four; one more, in front, is of layers that ``Repeat`` stacks."""
    stacked = [shape[0]] if shape.rank % 2 else []
    return tf.reshape(part, [*stacked, -1, shape[-1]])
