"""Reference posteriors of the gravity application: TFP's NUTS on the simulator's own prior.

    python -m experiments.references.gravity

For each of 20 held-out basins, all at once: the likelihood N(y; f(x), 0.1² mGal²) of its exact gravity, four chains,
dual averaging of the step, and coordinates in which the posterior is nearly N(0, I): Laplace's approximation
at the most probable basin, found by Gauss-Newton. That changes how fast the chains mix, not what they sample.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from experiments.references.store import write
from flow_models.simulators.base import Array, simulate_table
from flow_models.simulators.gravity import (
    CONTRAST,
    GRAVITY_UNIT,
    NARROW,
    PRISMS,
    GravityInversion,
    depths_of,
    edge_offsets,
    log_depth_prior,
    sensitivity,
)

OUTPUT = Path(__file__).with_suffix(".npz")
BASINS, SEED = 20, 20_260
CHAINS, WARM_UP, KEPT = 4, 300, 1000
NEWTON_STEPS = 25
MOST_DOUBLINGS = 6  # three make a trajectory here; without a bound, all chains wait for one that adapts its step


def main() -> None:
    """Sample, check and write ``gravity.npz``."""
    start = time.process_time()
    table = simulate_table(GravityInversion(), BASINS, seed=SEED)
    laplace = [most_probable(observation) for observation in table.y]
    centre, scale = (np.stack(each) for each in zip(*laplace, strict=True))
    standard = run_nuts(table.y, centre, scale).numpy()
    latent = centre + np.einsum("nij,scnj->scni", scale, standard)
    chains = depths_of(latent.reshape(-1, PRISMS)).reshape(latent.shape)
    write(
        OUTPUT,
        truth=table.x,
        observations=table.y,
        chains=chains,
        ensembles=chains.shape[1],
        seconds=time.process_time() - start,
    )


def most_probable(observation: Array) -> tuple[Array, Array]:
    """Where the posterior of the latents peaks, ``(40,)``, and a root of its covariance there, ``(40, 40)``."""
    simulator, rng = GravityInversion(), np.random.default_rng(0)
    factor = log_depth_prior()[1]

    def loss(latent: Array) -> float:
        residual = simulator.simulate(depths_of(latent[None]), rng)[0] - observation
        return float((residual**2).sum() / NARROW**2 + (latent**2).sum()) / 2

    latent = np.zeros(PRISMS)
    for _ in range(NEWTON_STEPS):
        depth = depths_of(latent[None])
        jacobian = sensitivity(depth)[0] * depth @ factor / NARROW
        residual = (simulator.simulate(depth, rng)[0] - observation) / NARROW
        curvature = np.eye(PRISMS) + jacobian.T @ jacobian
        step = np.linalg.solve(curvature, -(jacobian.T @ residual + latent))
        lengths = 0.5 ** np.arange(20)
        latent = latent + step * min(lengths, key=lambda length: loss(latent + length * step))
    return latent, np.linalg.inv(np.linalg.cholesky(curvature)).T


def run_nuts(observations: Array, centre: Array, scale: Array) -> tf.Tensor:
    """States of the chains in Laplace's coordinates, ``(KEPT, CHAINS, BASINS, 40)``."""
    y, centre, scale = (tf.constant(each, tf.float64) for each in (observations, centre, scale))
    mean, factor = (tf.constant(each, tf.float64) for each in log_depth_prior())

    def log_prob(standard: tf.Tensor) -> tf.Tensor:
        latent = centre + tf.einsum("nij,cnj->cni", scale, standard)
        gravity = attraction(tf.exp(mean + tf.einsum("ij,cnj->cni", factor, latent)))
        misfit = tf.reduce_sum(((gravity - y) / NARROW) ** 2, axis=-1)
        return -(misfit + tf.reduce_sum(latent**2, axis=-1)) / 2

    step_size = tf.fill([CHAINS, BASINS, 1], tf.constant(0.3, tf.float64))
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
        tfp.mcmc.NoUTurnSampler(log_prob, step_size, max_tree_depth=MOST_DOUBLINGS),
        num_adaptation_steps=int(0.8 * WARM_UP),
        target_accept_prob=tf.constant(0.8, tf.float64),
    )
    start = tf.random.stateless_normal([CHAINS, BASINS, PRISMS], seed=[SEED, 0], dtype=tf.float64)

    @tf.function
    def sample() -> tf.Tensor:
        return tfp.mcmc.sample_chain(
            KEPT, start, kernel=kernel, num_burnin_steps=WARM_UP, trace_fn=None, seed=[SEED, 1]
        )

    return sample()


@tf.custom_gradient
def attraction(depth: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """The simulator's gravity, ``[..., 40]`` to ``[..., 20]``; its gradient needs only the arcs."""
    left, right = (tf.constant(each, tf.float64) for each in edge_offsets())
    d = depth[..., None, :]
    angle = tf.atan(right / d) - tf.atan(left / d)
    logs = right * tf.math.log1p((d / right) ** 2) - left * tf.math.log1p((d / left) ** 2)
    factor = GRAVITY_UNIT * CONTRAST

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.einsum("...k,...kj->...j", upstream, 2 * factor * angle)

    return factor * tf.reduce_sum(logs + 2 * d * angle, axis=-1), gradient


if __name__ == "__main__":
    main()
