"""The spline coupling against TFP's spline, and at the edges of its interval."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from flow_models.bijectors import RationalQuadraticSplineCoupling
from flow_models.bijectors.spline import WORTH_COMPILING

BINS, BOUND, TRANSFORMED = 5, 3.0, 2
RAW = np.random.default_rng(0).normal(0, 2, [400, RationalQuadraticSplineCoupling.outputs_needed(2, bins=BINS)])


def coupling(raw: np.ndarray, dtype: tf.DType = tf.float64) -> RationalQuadraticSplineCoupling:
    return RationalQuadraticSplineCoupling(
        event_shape=(1 + TRANSFORMED,),
        passed=1,
        network=lambda _: tf.constant(raw, dtype),
        bins=BINS,
        bound=BOUND,
        dtype=dtype,
    )


def data(dtype: tf.DType = tf.float64) -> tf.Tensor:
    """From well outside the interval to well outside."""
    return tf.constant(np.random.default_rng(1).uniform(-2 * BOUND, 2 * BOUND, [len(RAW), 1 + TRANSFORMED]), dtype)


def tfp_spline() -> tfp.bijectors.RationalQuadraticSpline:
    by_element = np.swapaxes(RAW.reshape([-1, 3 * BINS - 1, TRANSFORMED]), 1, 2)
    widths, heights, slopes = tf.split(tf.constant(by_element), [BINS, BINS, BINS - 1], axis=-1)
    sizes = [2 * BOUND * (1e-3 + (1 - BINS * 1e-3) * tf.nn.softmax(each)) for each in (widths, heights)]
    return tfp.bijectors.RationalQuadraticSpline(
        *sizes, 1e-3 + tf.nn.softplus(slopes + np.log(np.expm1(1 - 1e-3))), range_min=-BOUND
    )


def test_data_to_latent_is_the_spline_of_tfp() -> None:
    x = data()
    z, log_det = coupling(RAW).inverse_and_log_det(x)
    expected = tfp_spline()
    np.testing.assert_allclose(z[:, 1:], expected.forward(x[:, 1:]), rtol=1e-10, atol=1e-10)
    slopes = expected.forward_log_det_jacobian(x[:, 1:], event_ndims=1)
    np.testing.assert_allclose(log_det, slopes, rtol=1e-10, atol=1e-10)


def test_latent_to_data_is_the_inverse_spline_of_tfp() -> None:
    z = data()
    x, log_det = coupling(RAW).forward_and_log_det(z)
    expected = tfp_spline()
    np.testing.assert_allclose(x[:, 1:], expected.inverse(z[:, 1:]), rtol=1e-10, atol=1e-10)
    slopes = expected.inverse_log_det_jacobian(z[:, 1:], event_ndims=1)
    np.testing.assert_allclose(log_det, slopes, rtol=1e-9, atol=1e-9)


def test_the_gradient_in_the_network_is_that_of_finite_differences() -> None:
    def loss(raw: tf.Tensor) -> tf.Tensor:
        made = coupling(RAW)
        made._network = lambda _: raw
        z, log_det = made.inverse_and_log_det(data())
        return tf.reduce_sum(tf.sin(z)) + tf.reduce_sum(log_det)

    raw = tf.constant(RAW)
    with tf.GradientTape() as tape:
        tape.watch(raw)
        value = loss(raw)
    gradient = tape.gradient(value, raw)
    for direction in np.random.default_rng(2).normal(size=[5, *RAW.shape]):
        difference = (loss(raw + 1e-6 * direction) - loss(raw - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-5)


@pytest.mark.parametrize("method", ["inverse_and_log_det", "forward_and_log_det"])
def test_compiled_for_large_batches_of_one_size_it_is_the_same(method: str) -> None:
    repeats = WORTH_COMPILING // RAW.size + 1
    raw, x = tf.tile(tf.constant(RAW), [repeats, 1]), tf.tile(data(), [repeats, 1])

    def values_and_gradients(x: tf.Tensor, raw: tf.Tensor) -> list[tf.Tensor]:
        made = coupling(RAW)
        made._network = lambda _: raw
        with tf.GradientTape() as tape:
            tape.watch([x, raw])
            outputs = getattr(made, method)(x)
            loss = tf.reduce_sum(tf.sin(outputs[0])) + tf.reduce_sum(outputs[1])
        return [*outputs, *tape.gradient(loss, [x, raw])]

    compiled = tf.function(values_and_gradients, autograph=False)
    graph = compiled.get_concrete_function(x, raw).graph.as_graph_def()
    assert any(function.attr["_XlaMustCompile"].b for function in graph.library.function)
    for plain, fast in zip(values_and_gradients(x, raw), compiled(x, raw), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-7, atol=1e-9)


def test_a_network_that_gives_zero_is_the_identity() -> None:
    x = data()
    z, log_det = coupling(np.zeros_like(RAW)).inverse_and_log_det(x)
    np.testing.assert_allclose(z, x, atol=1e-12)
    np.testing.assert_allclose(log_det, 0, atol=1e-12)


@pytest.mark.parametrize("method", ["inverse_and_log_det", "forward_and_log_det"])
@pytest.mark.parametrize("scale", [1, 100])
def test_outside_the_interval_it_is_the_identity_and_its_gradients_are_finite(method: str, scale: float) -> None:
    x, raw = tf.constant([[0, -BOUND, BOUND], [0, -1e30, 1e30]], tf.float32), tf.constant(scale * RAW[:2], tf.float32)
    made = coupling(RAW[:2], tf.float32)
    made._network = lambda _: raw
    with tf.GradientTape() as tape:
        tape.watch([x, raw])
        y, log_det = getattr(made, method)(x)
    np.testing.assert_allclose(y, x, rtol=1e-6)
    # At the end of the smallest bin, rounding is 1e-4 of its width, and the slope may change 1e4 times across it.
    np.testing.assert_allclose(log_det, 0, atol=0.01 if scale == 1 else 0.5)
    assert all(np.isfinite(each).all() for each in tape.gradient([y, log_det], [x, raw]))


@pytest.mark.parametrize("scale", [0.25, 1, 10, 100])
def test_in_float32_extreme_parameters_stay_finite_and_are_inverted_as_far_as_float32_can(scale: float) -> None:
    x = data(tf.float32)
    made = coupling(scale * RAW, tf.float32)
    z, log_det = made.inverse_and_log_det(x)
    back, log_det_back = made.forward_and_log_det(z)
    assert all(np.isfinite(each).all() for each in (z, log_det, back, log_det_back))
    # Where the curve is flat, many x share one z; then what comes back must have that z.
    again = made.inverse_and_log_det(back)[0]
    assert np.minimum(np.abs(back - x), np.abs(again - z)).max() < 1e-4


def test_in_float32_ordinary_parameters_invert_to_rounding() -> None:
    x = data(tf.float32)
    made = coupling(0.25 * RAW, tf.float32)
    np.testing.assert_allclose(made.forward_and_log_det(made.inverse_and_log_det(x)[0])[0], x, atol=2e-5)
