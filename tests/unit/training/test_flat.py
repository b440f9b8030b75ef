from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from flow_models.model import FlowModel
from flow_models.training.flat import FlatWeights


def test_weights_written_are_weights_read_in_any_shape() -> None:
    variables = [tf.Variable(tf.zeros(shape)) for shape in ([2, 3], [], [4])]
    flat = FlatWeights(variables)
    flat.write(tf.range(11.0))
    np.testing.assert_array_equal(flat.read(), np.arange(11))
    np.testing.assert_array_equal(variables[0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(variables[2], [7, 8, 9, 10])


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("glow", {"image_shape": (4, 4, 1), "levels": 1, "steps": 2, "hidden_channels": 8}),
        ("spline_coupling", {"features": 3, "layers": 2, "hidden": [4], "context_width": 2, "context_features": 3}),
    ],
)
def test_kernels_are_the_networks_matrices_and_nothing_else(architecture: str, options: dict[str, Any]) -> None:
    variables = FlowModel(architecture, options).bijector.trainable_variables
    flat = FlatWeights(variables)
    marked = tf.split(flat.kernels(), [tf.size(each) for each in variables])
    found = {each.name for each, mark in zip(variables, marked, strict=True) if np.all(mark == 1)}
    left = {each.name for each, mark in zip(variables, marked, strict=True) if np.all(mark == 0)}
    assert found == {"kernel:0"}
    assert left == {each.name for each in variables} - found
    assert "bias:0" in left
