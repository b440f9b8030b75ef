"""Permutation, Checkerboard, Standardise: known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from flow_models.bijectors import AffineCoupling, Chain, Checkerboard, Inverted, Permutation, Standardise
from flow_models.bijectors.networks import ConvNetwork


def test_a_permutation_moves_each_element_to_its_place() -> None:
    permutation = Permutation(event_shape=(3,), order=[2, 0, 1])
    np.testing.assert_array_equal(permutation.inverse(tf.constant([[10.0, 11, 12]])), [[12, 10, 11]])


def test_the_order_is_restored_with_the_weights(tmp_path: Path) -> None:
    saved, other = (Permutation(event_shape=(3,), order=order) for order in ([2, 0, 1], [0, 1, 2]))
    tf.train.Checkpoint(bijector=other).read(tf.train.Checkpoint(bijector=saved).write(str(tmp_path / "w")))
    x = tf.constant([[10.0, 11, 12]])
    np.testing.assert_array_equal(other.inverse(x), saved.inverse(x))


@pytest.mark.parametrize("order", [[0, 0, 1], [0, 1], [1, 2, 3]])
def test_what_is_no_order_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="is no order of the 3 elements"):
        Permutation(event_shape=(3,), order=order)


def test_the_colours_of_the_board_become_halves_of_the_channels() -> None:
    rows, columns = np.indices([3, 4])
    white = ((rows + columns) % 2).astype(np.float32)[None, :, :, None]
    halves = Checkerboard(data_shape=(3, 4, 1)).inverse(tf.constant(white))
    np.testing.assert_array_equal(halves[..., 0], np.zeros([1, 3, 2]))
    np.testing.assert_array_equal(halves[..., 1], np.ones([1, 3, 2]))


def test_a_coupling_on_the_board_changes_one_colour_by_what_the_other_is() -> None:
    board, rng = Checkerboard(data_shape=(4, 4, 1)), np.random.default_rng(0)
    network = ConvNetwork(inputs=1, outputs=2, hidden=8, rng=rng)
    for variable in network.trainable_variables:
        variable.assign_add(0.3 * rng.standard_normal(variable.shape))
    coupling = AffineCoupling(event_shape=board.latent_shape, passed=1, network=network)
    flow = Chain([board, coupling, Inverted(board)])
    x = rng.standard_normal([1, 4, 4, 1]).astype(np.float32)
    z = flow.inverse(tf.constant(x)).numpy()
    black = np.indices([4, 4]).sum(axis=0) % 2 == 0
    np.testing.assert_array_equal(z[0, black], x[0, black])
    assert np.all(z[0, ~black] != x[0, ~black])
    other = x.copy()
    other[0, 1, 1] += 1  # black: changes its white neighbours
    changed = flow.inverse(tf.constant(other)).numpy() != z
    assert changed[0, [0, 1, 1, 2], [1, 0, 2, 1]].all()


def test_an_odd_row_has_no_pairs() -> None:
    with pytest.raises(ValueError, match="5 pixels"):
        Checkerboard(data_shape=(4, 5, 1))


def test_the_first_batch_sets_the_units_even_far_from_zero() -> None:
    standardise = Standardise(event_shape=(3,))
    batch = np.random.default_rng(0).normal([1e-6, 5.0, 1e4], [1e-6, 1.0, 0.1], [1000, 3])
    z = standardise.initialise(tf.constant(batch, tf.float32)).numpy()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=0.01)


def test_an_element_that_does_not_vary_keeps_its_unit() -> None:
    standardise = Standardise(event_shape=(2,))
    z = standardise.initialise(tf.constant([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]]))
    np.testing.assert_allclose(z[:, 0], 0, atol=1e-7)
    assert np.isfinite(standardise.forward_log_det_jacobian(z, event_ndims=1))
