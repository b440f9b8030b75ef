"""Worker: TFP's own Glow bijector. Modes: graph, xla."""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.timing import arguments, report


def main() -> None:
    """Time one task."""
    wanted = arguments()
    shape = (wanted.size, wanted.size, 3)
    bijector = tfp.bijectors.Glow(
        output_shape=shape,
        num_glow_blocks=wanted.levels,
        num_steps_per_block=wanted.steps,
        coupling_bijector_fn=lambda event: tfp.bijectors.GlowDefaultNetwork(event, num_hidden=wanted.hidden),
        exit_bijector_fn=tfp.bijectors.GlowDefaultExitNetwork,
    )
    base = tfp.distributions.MultivariateNormalDiag(tf.zeros(math.prod(shape)))
    flow = tfp.distributions.TransformedDistribution(base, bijector)
    x = tf.random.stateless_uniform([wanted.batch, *shape], seed=(0, 1))
    flow.log_prob(x)  # its variables exist from here on
    variables = flow.trainable_variables
    optimizer = tf_keras.optimizers.Adam(1e-5)
    optimizer.build(variables)
    compiled = {"jit_compile": wanted.mode == "xla"}

    @tf.function(**compiled)
    def train() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    @tf.function(**compiled)
    def log_prob() -> tf.Tensor:
        return flow.log_prob(x)

    @tf.function(**compiled)
    def sample() -> tf.Tensor:
        return flow.sample(wanted.batch, seed=(0, 1))

    work = {"train": train, "log_prob": log_prob, "sample": sample}[wanted.task]
    parameters = sum(math.prod(each.shape) for each in variables)
    report(lambda: work().numpy(), batch=wanted.batch, seconds=wanted.seconds, parameters=parameters)


if __name__ == "__main__":
    main()
