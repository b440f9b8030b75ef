"""Networks that sum up a context of many elements, a set or a series, for couplings to read."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from flow_models.bijectors.networks import DenseNetwork, Draw

WINDOW = 5  # elements of a series that a convolution sees


class SetNetwork(tf.Module):
    """What the elements of a set say together, whatever their order: ``g(mean of f(element))``.

    Any function of a set that does not depend on the order has this form (Zaheer et al. 2017, "Deep sets", theorem 2),
    with a mean for their sum, for all sets are of one size. Beside what f learns, g sees the elements' mean and mean
    square.

    Args:
        elements: of a set, k.
        columns: of an element, m.
        outputs: elements of the summary.
        hidden: units of the hidden layers of f and of g.
        rng: draws the starting weights.
        dtype: of the weights, the input and the output.
    """

    def __init__(
        self,
        *,
        elements: int,
        columns: int,
        outputs: int,
        hidden: int,
        rng: np.random.Generator,
        dtype: tf.DType = tf.float32,
    ) -> None:
        super().__init__(name="set_network")
        self._shape = (elements, columns)
        shared = {"rng": rng, "last_gain": 1.0, "dtype": dtype}
        self._each = DenseNetwork(inputs=columns, outputs=hidden, hidden=[hidden], **shared)
        self._all = DenseNetwork(inputs=hidden + 2 * columns, outputs=outputs, hidden=[hidden], **shared)

    def __call__(self, context: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, k m]`` to ``[batch, outputs]``."""
        elements, columns = self._shape
        rows = tf.reshape(context, [-1, columns])
        seen = tf.concat([self._each(rows), rows, rows**2], axis=1)
        return self._all(tf.reduce_mean(tf.reshape(seen, [-1, elements, seen.shape[1]]), axis=1))


class SeriesNetwork(tf.Module):
    """What a short series says: two convolutions along it, each halving its length, and a dense layer over all.

    Args:
        elements: of a series, k.
        columns: of an element, m.
        outputs: elements of the summary.
        hidden: units of the dense layer, and half of it channels of the convolutions.
        rng: draws the starting weights.
        dtype: of the weights, the input and the output.
    """

    def __init__(
        self,
        *,
        elements: int,
        columns: int,
        outputs: int,
        hidden: int,
        rng: np.random.Generator,
        dtype: tf.DType = tf.float32,
    ) -> None:
        super().__init__(name="series_network")
        self._shape = (elements, columns)
        draw, channels = Draw(rng, dtype, dtype), max(hidden // 2, 1)
        self._along = [draw.layer(1, WINDOW, columns, channels), draw.layer(1, WINDOW, channels, channels)]
        left = math.ceil(elements / 4)
        self._all = DenseNetwork(
            inputs=left * channels, outputs=outputs, hidden=[hidden], rng=rng, last_gain=1.0, dtype=dtype
        )

    def __call__(self, context: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, k m]`` to ``[batch, outputs]``."""
        h = tf.reshape(context, [-1, 1, *self._shape])
        for layer in self._along:
            h = tf.nn.avg_pool2d(tf.nn.relu(layer(h)), ksize=[1, 2], strides=[1, 2], padding="SAME")
        return self._all(tf.reshape(h, [-1, h.shape[2] * h.shape[3]]))
