"""Worker: this project's Glow. Modes: float32, bfloat16, and either with ``-reversible``."""

from __future__ import annotations

import math

import tensorflow as tf

from benchmarks.timing import arguments, report
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.streams import streams, use_streams
from flow_models.training.step import Stepper


def main() -> None:
    """Time one task, computed as the command line does."""
    use_streams()
    wanted = arguments()
    precision, _, reversible = wanted.mode.partition("-")
    model = FlowModel(
        "glow",
        {
            "image_shape": (wanted.size, wanted.size, 3),
            "levels": wanted.levels,
            "steps": wanted.steps,
            "hidden_channels": wanted.hidden,
        },
        compute_dtype=tf.as_dtype(precision),
        reversible=bool(reversible),
    )
    shape = [wanted.batch, wanted.size, wanted.size, 3]
    images = tf.cast(tf.random.stateless_uniform(shape, seed=(0, 1), maxval=256, dtype=tf.int32), tf.uint8)
    x = tf.cast(images, tf.float32)
    stepper = Stepper(model, TrainSettings(), seed=0, streams=streams())
    stepper.initialise(images)
    rate, seed = tf.constant(1e-5), tf.constant(0)
    work = {
        "train": lambda: stepper.step(images, seed, rate)[0],
        "log_prob": lambda: model.log_prob(x),
        "sample": lambda: model.sample(wanted.batch, seed=seed, temperature=0.7),
    }[wanted.task]
    parameters = sum(math.prod(each.shape) for each in model.bijector.trainable_variables)
    report(lambda: work().numpy(), batch=wanted.batch, seconds=wanted.seconds, parameters=parameters)


if __name__ == "__main__":
    main()
