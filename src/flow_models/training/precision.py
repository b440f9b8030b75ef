"""Which number type the coupling networks compute in: what this machine is fastest at."""

from __future__ import annotations

import logging
import time

import tensorflow as tf

from flow_models.settings import Precision

logger = logging.getLogger(__name__)

PIXELS, CHANNELS, REPEATS = 16, 128, 5


def choose_precision(wanted: Precision) -> tf.DType:
    """The type asked for; for ``auto``, bfloat16 where it is measured to be faster than float32.

    Half precision stays inside the coupling networks. The flow itself, its log-determinants and
    the weights are float32 always, so that the model inverts and its likelihood is exact.
    """
    if wanted != "auto":
        return tf.as_dtype(wanted)
    seconds = {dtype: _seconds_per_convolution(dtype) for dtype in (tf.float32, tf.bfloat16)}
    faster = min(seconds, key=lambda dtype: seconds[dtype])
    ratio = max(seconds.values()) / min(seconds.values())
    logger.info("coupling networks in %s, %.1f times faster here than the other", faster.name, ratio)
    return faster


def _seconds_per_convolution(dtype: tf.DType) -> float:
    """The best of a few timings of a convolution and its gradient."""
    x = tf.ones([32, PIXELS, PIXELS, CHANNELS], dtype)
    kernel = tf.ones([3, 3, CHANNELS, CHANNELS], dtype)

    @tf.function
    def work() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            total = tf.reduce_sum(tf.nn.conv2d(x, kernel, strides=1, padding="SAME"))
        return tape.gradient(total, kernel)

    work()
    timings = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work().numpy()
        timings.append(time.perf_counter() - start)
    return min(timings)
