from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models.architectures.glow import glow
from flow_models.bijectors import ActNorm, Squeeze


def batch() -> tf.Tensor:
    return 5 + 3 * tf.random.stateless_normal([64, 4, 4, 3], seed=(0, 1), dtype=tf.float64)


def test_the_first_batch_comes_out_with_mean_zero_and_variance_one() -> None:
    actnorm = ActNorm(event_shape=(4, 4, 3), dtype=tf.float64)
    z = actnorm.initialise(batch())
    np.testing.assert_allclose(tf.reduce_mean(z, axis=[0, 1, 2]), np.zeros(3), atol=1e-9)
    np.testing.assert_allclose(tf.math.reduce_variance(z, axis=[0, 1, 2]), np.ones(3), rtol=1e-6)


def test_a_constant_channel_gets_a_finite_scale() -> None:
    actnorm = ActNorm(event_shape=(4, 4, 3), dtype=tf.float64)
    assert np.isfinite(actnorm.initialise(tf.ones([8, 4, 4, 3], tf.float64))).all()
    assert np.isfinite(actnorm.log_scale).all()


def test_every_normalisation_in_a_network_is_initialised_from_the_data() -> None:
    flow = glow(image_shape=(8, 8, 1), levels=2, steps=2, hidden_channels=8, dtype=tf.float64)
    before = [variable.numpy() for variable in flow.variables if "shift" in variable.name]
    flow.initialise(tf.random.stateless_uniform([64, 8, 8, 1], seed=(0, 1), maxval=256, dtype=tf.float64))
    after = [variable.numpy() for variable in flow.variables if "shift" in variable.name]
    assert [each.shape for each in after] == [(2, 4), (2, 8), (8,)]  # two steps on each level, the last one's prior
    assert all(np.any(a != b, axis=-1).all() for a, b in zip(before, after, strict=True))


def test_an_odd_side_cannot_be_squeezed() -> None:
    with pytest.raises(ValueError, match="6 x 5"):
        Squeeze(data_shape=(6, 5, 1))
