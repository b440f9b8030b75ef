"""What the splines that go with an expectation may depend on, and where they start."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models.bijectors import SingleIndex, Whiten

OPTIONS = {"event_shape": (2,), "context_width": 3, "dtype": tf.float64}
SLOPE = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])  # the elements that each column of the context tells of


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Elements whose noise is independent, and contexts."""
    rng = np.random.default_rng(0)
    context = rng.normal(size=(4000, 3))
    return context @ SLOPE + rng.normal(size=(4000, 2)), context


@pytest.fixture
def bent(rows: tuple[np.ndarray, np.ndarray]) -> SingleIndex:
    """With splines that are not the identity."""
    bijector = SingleIndex(**OPTIONS)
    bijector.initialise(*map(tf.constant, rows))
    (weights,) = bijector.trainable_variables
    weights.assign(np.random.default_rng(1).normal(size=weights.shape))
    return bijector


def test_it_starts_as_the_whitening_alone(rows: tuple[np.ndarray, np.ndarray]) -> None:
    x, context = map(tf.constant, rows)
    z = SingleIndex(**OPTIONS).initialise(x, context)
    np.testing.assert_allclose(z, Whiten(**OPTIONS, aligned=True).initialise(x, context), atol=1e-9)


def test_an_element_hears_of_the_context_what_is_expected_of_it(
    bent: SingleIndex, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    """Two contexts of which the regression expects the same are one."""
    context = tf.constant(rows[1][:100])
    slope = bent._whiten._slope.numpy()
    unheard = np.linalg.svd(slope.T)[2][-1]  # what the regression does not look at
    z = tf.random.stateless_normal([100, 2], seed=(0, 1), dtype=tf.float64)
    x = bent.forward(z, context=context)
    np.testing.assert_allclose(bent.forward(tf.identity(z), context=context + 3 * unheard), x, atol=1e-9)
    assert np.abs(bent.forward(tf.identity(z), context=context + slope[:, 0]) - x).min() > 0


def test_beyond_the_last_knots_the_parameters_are_what_they_are_there(bent: SingleIndex) -> None:
    network = bent._splines._network
    at_the_ends = network(tf.constant([[2.0, -2.0]], tf.float64))
    assert np.any(at_the_ends != 0)
    np.testing.assert_array_equal(network(tf.constant([[2e3, -3.0]], tf.float64)), at_the_ends)


def test_between_knots_the_parameters_are_linear(bent: SingleIndex) -> None:
    network = bent._splines._network
    t = tf.constant([[0.0, 0.0], [0.125, 0.125], [0.25, 0.25], [0.5, 0.5]], tf.float64)  # knots lie 0.5 apart
    at = network(t).numpy()
    np.testing.assert_allclose(at[2], (at[0] + at[3]) / 2)
    np.testing.assert_allclose(at[1], (3 * at[0] + at[3]) / 4)
