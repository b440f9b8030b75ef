from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models.errors import FlowModelsError
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training.dequantisation import LARGEST, VariationalNoise
from flow_models.training.step import Stepper

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float64)


def noise(*, trained: bool) -> VariationalNoise:
    """With ``trained``, weights that are not those of the start, which leave the couplings the identity."""
    made = VariationalNoise(SHAPE, seed=1, dtype=tf.float64)
    for index, variable in enumerate(made.trainable_variables if trained else ()):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, seed=(2, index), dtype=tf.float64))
    return made


def normals(count: int) -> tf.Tensor:
    return tf.random.stateless_normal([count, *SHAPE], seed=(0, 1), dtype=tf.float64)


def test_the_log_density_is_that_of_the_change_of_variables() -> None:
    normal = normals(len(IMAGES))
    with tf.GradientTape() as tape:
        tape.watch(normal)
        u, log_q = noise(trained=True).transform(normal, tf.constant(IMAGES))
    jacobian = tf.reshape(tape.batch_jacobian(u, normal), [len(IMAGES), 16, 16])
    log_normal = -0.5 * tf.reduce_sum(normal**2 + np.log(2 * np.pi), axis=[1, 2, 3])
    np.testing.assert_allclose(log_q, log_normal - tf.linalg.slogdet(jacobian)[1], rtol=1e-9)


def test_the_noise_depends_on_the_image() -> None:
    made, normal = noise(trained=True), normals(len(IMAGES))
    one, _ = made.transform(normal, tf.constant(IMAGES))
    other, _ = made.transform(normal, tf.constant(255 - IMAGES))
    assert np.abs(one - other).min(axis=(1, 2, 3)).max() > 0
    np.testing.assert_array_equal(one, made.transform(normal, tf.constant(IMAGES))[0])


def test_untrained_noise_is_all_but_uniform() -> None:
    normal = normals(2000)
    u, log_q = noise(trained=False).transform(normal, tf.zeros_like(normal))
    assert float(tf.reduce_mean(log_q)) / 16 == pytest.approx(0, abs=0.01)  # nats an element: the divergence from it
    np.testing.assert_allclose(np.quantile(u, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)


def test_an_integer_and_its_noise_stay_below_the_next_integer() -> None:
    far = tf.constant(np.array([-1e3, 0, 1e3] * 16).reshape(3, *SHAPE))
    u, _ = noise(trained=False).transform(far, tf.zeros_like(far))
    assert float(tf.reduce_min(u)) >= 0
    assert np.float32(255) + np.float32(LARGEST) < 256
    assert float(tf.reduce_max(u)) == LARGEST


def test_vectors_are_refused() -> None:
    model = FlowModel("realnvp", {"features": 2, "layers": 2, "hidden": [4]})
    with pytest.raises(FlowModelsError, match=r"train.dequantisation: .* use uniform"):
        Stepper(model, TrainSettings(dequantisation="variational"), seed=0)
