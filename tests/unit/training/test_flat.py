from __future__ import annotations

import numpy as np
import tensorflow as tf

from flow_models.training.flat import FlatWeights


def test_weights_written_are_weights_read_in_any_shape() -> None:
    variables = [tf.Variable(tf.zeros(shape)) for shape in ([2, 3], [], [4])]
    flat = FlatWeights(variables)
    flat.write(tf.range(11.0))
    np.testing.assert_array_equal(flat.read(), np.arange(11))
    np.testing.assert_array_equal(variables[0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(variables[2], [7, 8, 9, 10])
