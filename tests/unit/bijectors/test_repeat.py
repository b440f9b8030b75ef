from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models.architectures.glow import glow
from flow_models.bijectors import ActNorm, FusedBijector, Repeat

DEPTH = 6


def flow(*, reversible: bool, depth: int = DEPTH, compute_dtype: tf.DType = tf.float32) -> FusedBijector:
    built = glow(
        image_shape=(8, 8, 1),
        levels=2,
        steps=depth,
        hidden_channels=16,
        compute_dtype=compute_dtype,
        reversible=reversible,
    )
    noise = np.random.default_rng(2)
    for variable in built.trainable_variables:
        variable.assign_add(tf.cast(0.03 * noise.standard_normal(variable.shape), tf.float32))
    return built


def images() -> tf.Tensor:
    return tf.random.stateless_uniform([4, 8, 8, 1], seed=(0, 3), maxval=256)


def loss_and_gradients(bijector: FusedBijector) -> tuple[tf.Tensor, list[tf.Tensor]]:
    @tf.function
    def compute(x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            z, log_det = bijector.inverse_and_log_det(x)
            loss = tf.reduce_mean(0.5 * tf.reduce_sum(z**2, axis=-1) - log_det)
        return loss, tape.gradient(loss, bijector.trainable_variables)

    return compute(images())


@pytest.mark.parametrize("compute_dtype", [tf.float32, tf.bfloat16])
def test_recomputed_gradients_are_those_of_kept_activations(compute_dtype: tf.DType) -> None:
    kept = loss_and_gradients(flow(reversible=False, compute_dtype=compute_dtype))
    recomputed = loss_and_gradients(flow(reversible=True, compute_dtype=compute_dtype))
    np.testing.assert_allclose(recomputed[0], kept[0], rtol=1e-6)
    norm = tf.linalg.global_norm(kept[1])
    difference = tf.linalg.global_norm([a - b for a, b in zip(recomputed[1], kept[1], strict=True)])
    assert difference / norm < (1e-4 if compute_dtype == tf.float32 else 1e-2)


def test_the_graph_of_a_reversible_flow_does_not_grow_with_depth() -> None:
    def operations(depth: int) -> int:
        bijector = flow(reversible=True, depth=depth)
        concrete = tf.function(bijector.inverse_and_log_det).get_concrete_function(images())
        return len(concrete.graph.get_operations())

    assert operations(12) == operations(3)


def test_steps_are_initialised_one_after_the_other_from_the_data() -> None:
    repeat = Repeat(lambda: ActNorm(event_shape=(4, 4, 1)), times=2)
    z = repeat.initialise(tf.random.stateless_normal([64, 4, 4, 1], seed=(0, 4)) * 7 + 3)
    np.testing.assert_allclose([tf.reduce_mean(z), tf.math.reduce_std(z)], [0, 1], atol=1e-4)
    log_scale, shift = repeat.trainable_variables
    np.testing.assert_allclose(shift[:, 0], [3, 0], atol=0.2)
    np.testing.assert_allclose(tf.exp(log_scale[:, 0]), [7, 1], rtol=0.1)
