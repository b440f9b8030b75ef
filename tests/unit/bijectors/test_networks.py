"""The networks inside couplings, as they start."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models.bijectors.networks import ConvNetwork, DenseNetwork


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


def away_from_its_start(places: tuple[int, int] | None) -> ConvNetwork:
    rng = np.random.default_rng(0)
    network = ConvNetwork(inputs=2, outputs=3, hidden=8, places=places, rng=rng)
    for weights in network.trainable_variables:
        weights.assign(0.1 * rng.standard_normal(weights.shape))
    return network


@pytest.mark.parametrize("places", [None, (9, 11)])
def test_a_network_that_is_told_the_place_tells_same_pixels_apart(places: tuple[int, int] | None) -> None:
    network = away_from_its_start(places)
    inside = network(tf.ones([1, 9, 11, 2])).numpy()[0, 2:-2, 2:-2]  # what no padding reaches
    same = np.ptp(inside, axis=(0, 1)) < 1e-6
    assert same.all() if places is None else not same.any()


def test_the_places_are_the_same_for_every_image_of_a_batch() -> None:
    network = away_from_its_start((4, 6))
    x = tf.random.stateless_normal([5, 4, 6, 2], seed=(0, 0))
    np.testing.assert_allclose(network(x)[3:4], network(x[3:4]), atol=1e-6)
