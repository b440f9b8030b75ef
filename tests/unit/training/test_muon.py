"""Muon: orthogonal steps for kernels, Adam's for the rest."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given
from hypothesis import strategies as st

from flow_models.training.flat import FlatWeights
from flow_models.training.muon import Muon, orthogonal

RATE = 0.01


def variables() -> list[tf.Variable]:
    rng = np.random.default_rng(0)
    shapes = {"kernel": [(3, 3, 2, 5), (2, 1, 1, 6, 4), (7, 3), (2, 3, 4)], "bias": [(5,), (2, 4)]}
    return [tf.Variable(rng.standard_normal(s), name=name, dtype=tf.float32) for name in shapes for s in shapes[name]]


def stepped(optimizer: tf_keras.optimizers.Optimizer, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """How far each of ``variables`` has gone after a step along each gradient."""
    flat = FlatWeights(moved := variables())
    vector = tf.Variable(flat.read())
    optimizer.build([vector])
    optimizer.learning_rate.assign(RATE)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), vector)])
    flat.write(vector)
    return [after.numpy() - before.numpy() for before, after in zip(variables(), moved, strict=True)]


def gradients(number: int) -> list[np.ndarray]:
    size = sum(int(np.prod(each.shape)) for each in variables())
    return list(np.random.default_rng(1).standard_normal((number, size)))


@given(st.integers(1, 9), st.integers(1, 9), st.floats(-6, 6), st.integers(0, 2**16))
def test_singular_values_come_near_1_whatever_the_scale(rows: int, columns: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    short = min(rows, columns)
    left, right = (np.linalg.qr(rng.standard_normal((n, short)))[0] for n in (rows, columns))
    values = rng.uniform(0.05, 1, short)
    found = orthogonal(tf.constant(10**scale * (left * values) @ right.T)).numpy()
    np.testing.assert_allclose(np.linalg.svd(found)[1], 1, atol=0.35)
    turned = left.T @ found @ right
    np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-6)


def test_nothing_stays_nothing() -> None:
    assert not orthogonal(tf.zeros([2, 3, 4])).numpy().any()


def test_a_kernel_goes_as_far_in_every_direction() -> None:
    for kernel, stacked in zip(
        stepped(Muon(FlatWeights(variables())), gradients(1))[:4], (False, True, False, True), strict=True
    ):
        for matrix in kernel if stacked else [kernel]:
            flattened = matrix.reshape(-1, matrix.shape[-1])
            distances = np.linalg.svd(flattened)[1] / (0.2 * RATE * np.sqrt(max(flattened.shape)))
            np.testing.assert_allclose(distances, 1, atol=0.35)


def test_a_kernel_goes_on_when_its_gradient_vanishes() -> None:
    (gradient,) = gradients(1)
    one, two = (stepped(Muon(FlatWeights(variables())), [gradient, 0 * gradient][:steps]) for steps in (1, 2))
    for first, both in zip(one[:4], two[:4], strict=True):
        np.testing.assert_allclose(both, 2 * first, rtol=1e-3, atol=1e-6)


def test_all_but_kernels_go_as_with_adam() -> None:
    muon = stepped(Muon(FlatWeights(variables())), gradients(3))
    adam = stepped(tf_keras.optimizers.Adam(), gradients(3))
    for one, other in zip(muon[4:], adam[4:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_first_step_goes_against_the_gradient() -> None:
    (gradient,) = gradients(1)
    first = stepped(Muon(FlatWeights(variables())), [gradient])[0].reshape(-1, 5)
    left, _, right = np.linalg.svd(gradient[: first.size].reshape(first.shape), full_matrices=False)
    expected = -0.2 * RATE * np.sqrt(max(first.shape)) * left @ right
    assert np.sum(first * expected) / np.linalg.norm(first) / np.linalg.norm(expected) == pytest.approx(1, abs=0.02)
