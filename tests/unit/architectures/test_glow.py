from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models.architectures.glow import glow
from flow_models.bijectors import FusedBijector

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
FAR_FROM_THE_DATA = {
    "black": np.zeros([1, *SHAPE]),
    "white": np.full([1, *SHAPE], 255.0),
    "random pixels": RNG.uniform(0, 256, [16, *SHAPE]),
}


@pytest.fixture(scope="module")
def flow() -> FusedBijector:
    """Initialised on faint images, its couplings away from their start."""
    built = glow(image_shape=SHAPE, levels=2, steps=8, hidden_channels=32, reversible=True)
    built.initialise(tf.constant(RNG.normal(128, 10, [64, *SHAPE]), tf.float32))
    for variable in built.trainable_variables:
        if variable.name.startswith("kernel"):
            variable.assign_add(tf.cast(0.01 * RNG.standard_normal(variable.shape), tf.float32))
    return built


@pytest.mark.parametrize("images", FAR_FROM_THE_DATA)
def test_it_inverts_in_float32_far_from_the_data(flow: FusedBijector, images: str) -> None:
    x = tf.constant(FAR_FROM_THE_DATA[images], tf.float32)
    again = flow.forward_and_log_det(flow.inverse_and_log_det(x)[0])[0]
    np.testing.assert_allclose(again / 256, x / 256, atol=1e-4)
