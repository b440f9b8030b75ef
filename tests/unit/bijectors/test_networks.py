"""The networks inside couplings, as they start."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from flow_models.bijectors.networks import DenseNetwork


def test_with_biases_a_network_of_one_element_bends_in_many_places() -> None:
    rng = np.random.default_rng(0)
    network = DenseNetwork(inputs=1, outputs=1, hidden=[32], last_gain=1.0, bias=1.0, rng=rng)
    x = np.linspace(-3, 3, 601, dtype=np.float32)[:, None]
    slopes = np.diff(network(tf.constant(x)).numpy()[:, 0]) / np.diff(x[:, 0])
    bends = (np.abs(np.diff(slopes)) > 0.01).sum()
    assert bends > 10


def test_a_network_starts_at_zero() -> None:
    network = DenseNetwork(inputs=3, outputs=2, hidden=[8, 8], rng=np.random.default_rng(0))
    assert not network(tf.random.normal([5, 3])).numpy().any()
