"""Bounds hold exactly, in float32 and close to them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_models.bijectors import Support

LOW, HIGH = [-1.0, 0.1, None, None], [2.0, None, 3.0, None]
inside = st.tuples(
    st.floats(-1, 2, width=32, exclude_min=True, exclude_max=True),
    st.floats(np.float32(0.1).item(), 2.0**40, width=32, exclude_min=True),
    st.floats(-(2.0**40), 3, width=32, exclude_max=True),
    st.floats(-(2.0**100), 2.0**100, width=32),
)


@settings(max_examples=200, deadline=None)
@given(inside)
def test_what_lies_inside_comes_back_to_rounding(values: tuple[float, ...]) -> None:
    support, x = Support(low=LOW, high=HIGH), tf.constant([values], tf.float32)
    z, log_det = support.inverse_and_log_det(x)
    back, log_det_back = support.forward_and_log_det(z)
    # log(x) carries an absolute error of its own size's rounding, which exp makes relative.
    np.testing.assert_allclose(back, x, rtol=5e-6, atol=5e-6)
    np.testing.assert_allclose(log_det, -log_det_back, rtol=1e-5, atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 4))
def test_every_latent_lands_strictly_inside(latents: tuple[float, ...]) -> None:
    support = Support(low=LOW, high=HIGH)
    x = support.forward_and_log_det(tf.constant([latents], tf.float32))[0].numpy()[0]
    assert np.float32(-1) < x[0] < np.float32(2)
    assert np.float32(0.1) < x[1] < np.inf
    assert -np.inf < x[2] < np.float32(3)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_values_on_a_bound_or_at_extremes_give_finite_densities_and_gradients(dtype: tf.DType) -> None:
    support = Support(low=LOW, high=HIGH, dtype=dtype)
    x = tf.constant([[-1, 0.1, 3, 0], [2, 0.1, 3, 0]], dtype)
    z = tf.constant([[-1e4, -1e4, 1e4, 0], [80, 80, -80, 1e4]], dtype)
    for method, values in ((support.inverse_and_log_det, x), (support.forward_and_log_det, z)):
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = method(values)
        assert all(np.isfinite(each).all() for each in (*outputs, tape.gradient(outputs, values)))


def test_the_density_of_a_uniform_variable_integrates_to_one() -> None:
    support = Support(low=[2.0], high=[5.0], dtype=tf.float64)
    z = np.linspace(-40, 40, 20_001)[:, None]
    x, log_det = support.forward_and_log_det(tf.constant(z))
    assert np.trapezoid(np.exp(log_det) / 3, z[:, 0]) == pytest.approx(1, abs=1e-6)
    assert np.all((x > 2) & (x < 5))


def test_near_a_bound_float32_keeps_the_digits_of_the_distance() -> None:
    low = Support(low=[0.0], high=[1.0])
    for distance in (1e-6, 1e-20, 1e-37):
        x = tf.constant([[distance]], tf.float32)
        np.testing.assert_allclose(low.forward(tf.identity(low.inverse(x))), x, rtol=1e-5)
        np.testing.assert_allclose(low.inverse_log_det_jacobian(x, event_ndims=1), -np.log(distance), rtol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [([1.0], [1.0], "column 0"), ([0, 2], [1, 1], "column 1"), ([0.0], [1, 2], "1 lower and 2")],
)
def test_impossible_bounds_are_refused(low: list[float], high: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Support(low=low, high=high)
