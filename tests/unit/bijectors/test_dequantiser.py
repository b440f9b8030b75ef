"""A pixel moves within its level, and with it the density of its noise."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from flow_models.bijectors import Dequantiser
from flow_models.bijectors.dequantiser import largest_noise

SHAPE = (4, 4, 3)
LEVELS = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float32)
NOISE = np.random.default_rng(1).uniform(size=SHAPE).astype(np.float32)


def dequantiser(*, by: float) -> Dequantiser:
    """Away from its start, where it is the identity, by so much in every weight."""
    made = Dequantiser(event_shape=SHAPE, hidden=8, rng=np.random.default_rng(0))
    for index, variable in enumerate(made.trainable_variables):
        variable.assign_add(by * tf.random.stateless_normal(variable.shape, seed=(2, index)))
    return made


def test_it_starts_as_the_identity() -> None:
    z, log_det = dequantiser(by=0).inverse_and_log_det(LEVELS + NOISE)
    np.testing.assert_allclose(z, LEVELS + NOISE, atol=2e-5)
    np.testing.assert_allclose(log_det, 0, atol=1e-4)


def test_every_pixel_stays_in_its_level_whatever_the_weights() -> None:
    for extreme in (0.0, 1.0, 100.0):
        for noise in (0.0, 0.5, 1 - 2.0**-16):
            z, log_det = dequantiser(by=extreme).inverse_and_log_det(LEVELS + np.float32(noise))
            np.testing.assert_array_equal(np.floor(z), LEVELS)
            assert np.isfinite(log_det).all()


def test_an_integer_and_its_noise_stay_below_the_next_integer() -> None:
    assert np.float32(255) + np.float32(largest_noise(tf.float32)) < 256


def test_every_pixel_comes_back_whatever_the_weights() -> None:
    steep, x = dequantiser(by=100.0), LEVELS + NOISE
    back = steep.forward_and_log_det(steep.inverse_and_log_det(x)[0])[0]
    assert np.abs(back - x).max() < 0.01  # of a level


def test_where_a_pixel_moves_depends_on_the_levels_around_it_but_not_on_their_noise() -> None:
    made, x = dequantiser(by=0.3), (LEVELS + NOISE)[:1]
    other_level, other_noise = x.copy(), x.copy()
    other_level[0, 1, 1] += 40
    other_noise[0, 1, 1] = np.floor(x[0, 1, 1]) + 0.5
    z, with_level, with_noise = (made.inverse_and_log_det(each)[0].numpy() for each in (x, other_level, other_noise))
    assert (z[0, 1, 2] != with_level[0, 1, 2]).all()
    np.testing.assert_array_equal(z[0, 1, 2], with_noise[0, 1, 2])


def test_a_colour_moves_with_those_before_it() -> None:
    made, x = dequantiser(by=0.3), (LEVELS + NOISE)[:1]
    red = x.copy()
    red[..., 0] = np.floor(x[..., 0]) + 0.9
    z, with_red = (made.inverse_and_log_det(each)[0].numpy() for each in (x, red))
    assert (z[..., 2] != with_red[..., 2]).mean() > 0.5
