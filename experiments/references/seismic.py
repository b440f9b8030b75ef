"""Reference posteriors of the seismic application: emcee on the simulator's own prior and likelihood.

    python -m experiments.references.seismic [--processes N]

For each of 20 held-out data sets: two ensembles of walkers, which never meet. They walk where the uniform prior is
N(0, I), so that no proposal falls outside its bounds. The posterior may have several modes, so each ensemble is carried
from the prior to it through tempered ones (sequential Monte Carlo, Del Moral et al. 2006); there they walk on by
differential evolution and, every other step, by independent proposals of a mixture fitted to where they came from.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import emcee
import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr, softmax
from scipy.stats import multivariate_t
from sklearn.mixture import GaussianMixture

from flow_models.simulators.base import Array, simulate_table
from flow_models.simulators.seismic import NOISE, SeismicInversion, phase_velocities

OUTPUT = Path(__file__).with_suffix(".npz")
CASES, SEED = 20, 20_260
ENSEMBLES, WALKERS = 2, 300
TEMPERED = 8  # steps at each temperature
SURVIVORS = 0.5  # effective share of the walkers that the next temperature must leave
JITTER = 1e-4  # parts copies of one walker, between which differential evolution would not move
REFINED, KEPT, STRIDE = 60, 400, 2
PARTS, DEGREES = 16, 6  # of the mixture that proposes, and of freedom of its tails, heavier than the posterior's
EVOLUTION = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]

LogProb: TypeAlias = Callable[[Array], Array]
Moves: TypeAlias = Sequence[tuple[emcee.moves.Move, float]]


def main() -> None:
    """Sample, check and write ``seismic.npz``."""
    from experiments.references.store import write  # TensorFlow loads here, not in the processes that sample

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    processes = parser.parse_args().processes
    table = simulate_table(SeismicInversion(), CASES, seed=SEED, tolerated_failures=0.01)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        chains, seconds = zip(*pool.map(sample, table.y, range(CASES)), strict=True)
    write(
        OUTPUT,
        truth=table.x,
        observations=table.y,
        chains=np.stack(chains, axis=2),
        ensembles=ENSEMBLES,
        seconds=sum(seconds),
    )


def sample(observation: Array, case: int) -> tuple[Array, float]:
    """Models along the walks, ``(steps, chains, 9)``, each walker a chain, and the seconds that they took.

    The walkers of an ensemble stand beside each other.
    """
    began = time.process_time()

    def log_likelihood(latent: Array) -> Array:
        misfit = ((phase_velocities(models_of(latent)) - observation) / NOISE) ** 2
        # A model without such a wave cannot have been simulated.
        found: Array = np.nan_to_num(-misfit.sum(axis=1) / 2, nan=-np.inf)
        return found

    rngs = [np.random.default_rng([SEED, case, ensemble]) for ensemble in range(ENSEMBLES)]
    states = [_anneal(log_likelihood, rng) for rng in rngs]
    seen = np.concatenate([state.coords for state in states])
    walks = []
    for steps in (REFINED, KEPT):
        # Fixed before the steps that are kept: a proposal that went on adapting would leave the posterior.
        moves = [(emcee.moves.MHMove(_independent(seen)), 0.5), *((move, share / 2) for move, share in EVOLUTION)]
        walks = [_walk(tempered(log_likelihood, 1.0), state, moves, steps) for state in states]
        states = [walk.get_last_sample() for walk in walks]
        seen = np.concatenate([walk.get_chain(discard=steps // 4, thin=STRIDE, flat=True) for walk in walks])
    latent = np.concatenate([walk.get_chain(thin=STRIDE) for walk in walks], axis=1)
    return models_of(latent.reshape(-1, latent.shape[-1])).reshape(latent.shape), time.process_time() - began


def tempered(log_likelihood: LogProb, power: float) -> LogProb:
    """The logarithm of prior times likelihood to a power, but for a constant."""

    def log_prob(latent: Array) -> Array:
        total: Array = power * log_likelihood(latent) - (latent**2).sum(axis=1) / 2
        return total

    return log_prob


def _anneal(log_likelihood: LogProb, rng: np.random.Generator) -> emcee.State:
    """Walkers spread as the posterior is, from draws of the prior: weigh, copy, walk a little, at each temperature."""
    latent, power = rng.standard_normal((WALKERS, len(SeismicInversion.parameters))), 0.0
    while True:
        likelihood = log_likelihood(latent)
        step = _next_step(likelihood, 1.0 - power)
        power += step
        weights = _weights(likelihood, step)
        places = (rng.random() + np.arange(WALKERS)) / WALKERS  # systematic: as few copies as the weights allow
        chosen = latent[np.searchsorted(weights.cumsum(), places).clip(max=WALKERS - 1)]
        legacy = np.random.RandomState(rng.integers(2**31)).get_state()  # emcee knows no other
        start = emcee.State(chosen + JITTER * rng.standard_normal(chosen.shape), random_state=legacy)
        state = _walk(tempered(log_likelihood, power), start, EVOLUTION, TEMPERED).get_last_sample()
        if power >= 1:
            return state
        latent = state.coords


def _next_step(likelihood: Array, most: float) -> float:
    """The largest step of the power that leaves `SURVIVORS` of the walkers, in effect."""

    def too_many(step: float) -> float:
        return float(1 / (_weights(likelihood, step) ** 2).sum() - SURVIVORS * WALKERS)

    return most if too_many(most) >= 0 else float(brentq(too_many, 0.0, most))


def _weights(likelihood: Array, step: float) -> Array:
    weights: Array = softmax(step * likelihood)
    return weights


def _walk(log_prob: LogProb, state: emcee.State, moves: Moves, steps: int) -> emcee.EnsembleSampler:
    sampler = emcee.EnsembleSampler(*state.coords.shape, log_prob, moves=moves, vectorize=True)
    sampler.run_mcmc(state, steps)
    return sampler


def _independent(settled: Array) -> Callable[[Array, Any], tuple[Array, Array]]:
    """Proposals of a mixture fitted to earlier states, wherever the walker stands; its parts have Student's tails."""
    fit = GaussianMixture(PARTS, reg_covar=1e-5, random_state=0).fit(settled)
    parts = [multivariate_t(*each, df=DEGREES) for each in zip(fit.means_, fit.covariances_, strict=True)]

    def log_density(latent: Array) -> Array:
        each = np.stack([part.logpdf(latent) for part in parts])
        total: Array = logsumexp(each, axis=0, b=fit.weights_[:, None])
        return total

    def propose(coordinates: Array, random: Any) -> tuple[Array, Array]:
        counts = random.multinomial(len(coordinates), fit.weights_)
        proposed = np.concatenate(
            [
                part.rvs(count, random_state=random).reshape(count, settled.shape[1])
                for part, count in zip(parts, counts, strict=True)
            ]
        )
        random.shuffle(proposed)  # else the first walkers would always meet the first parts
        return proposed, log_density(coordinates) - log_density(proposed)

    return propose


def models_of(latent: Array) -> Array:
    """N(0, I) to the uniform prior, ``(n, 9)``."""
    lowest, highest = np.array(SeismicInversion.support).T
    models: Array = lowest + (highest - lowest) * ndtr(latent)
    return models


if __name__ == "__main__":
    main()
