"""Reference posteriors of the seismic application: emcee on the simulator's own prior and likelihood.

    python -m experiments.references.seismic [--processes N]

For each of 20 held-out data sets: two ensembles of walkers with different starts. They walk where the uniform prior
is N(0, I), so that no proposal falls outside its bounds; by differential evolution, and after the warm-up half of the
time by independent proposals of a mixture fitted to it.
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
from scipy.special import logsumexp, ndtr
from scipy.stats import multivariate_t
from sklearn.mixture import GaussianMixture

from flow_models.simulators.base import Array, simulate_table
from flow_models.simulators.seismic import NOISE, SeismicInversion, phase_velocities

OUTPUT = Path(__file__).with_suffix(".npz")
CASES, SEED = 20, 20_260
ENSEMBLES, WALKERS, STRIDE = 2, 24, 2
WARM_UP, REFINED, KEPT = 1000, 500, 3000
CANDIDATES = 2000  # prior draws an ensemble; it starts at the likeliest of them
SETTLING = 250  # steps at the start of a walk that fit no proposal
PARTS, DEGREES = 8, 10  # of the mixture that proposes, and of freedom of its tails, heavier than the posterior's
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
    write(OUTPUT, truth=table.x, observations=table.y, chains=np.stack(chains, axis=2), seconds=sum(seconds))


def sample(observation: Array, case: int) -> tuple[Array, float]:
    """Models along the walks, ``(steps, chains, 9)``, each walker a chain, and the seconds that they took."""
    began = time.process_time()

    def log_prob(latent: Array) -> Array:
        misfit = ((phase_velocities(models_of(latent)) - observation) / NOISE) ** 2
        # A model without such a wave cannot have been simulated.
        likelihood = np.nan_to_num(-misfit.sum(axis=1) / 2, nan=-np.inf)
        total: Array = likelihood - (latent**2).sum(axis=1) / 2
        return total

    rngs = [np.random.default_rng([SEED, case, ensemble]) for ensemble in range(ENSEMBLES)]
    states = [_likeliest(log_prob, rng) for rng in rngs]
    walks = [_walk(log_prob, state, EVOLUTION, WARM_UP) for state in states]
    for steps in (REFINED, KEPT):
        # Fixed before the steps that are kept: a proposal that went on adapting would leave the posterior.
        propose = _independent(np.concatenate([each.get_chain(discard=SETTLING, flat=True) for each in walks]))
        moves = [(emcee.moves.MHMove(propose), 0.5), *((move, share / 2) for move, share in EVOLUTION)]
        walks = [_walk(log_prob, each.get_last_sample(), moves, steps) for each in walks]
    latent = np.concatenate([each.get_chain(thin=STRIDE) for each in walks], axis=1)
    return models_of(latent.reshape(-1, latent.shape[-1])).reshape(latent.shape), time.process_time() - began


def _likeliest(log_prob: LogProb, rng: np.random.Generator) -> emcee.State:
    """The walkers' start: the likeliest of many draws of the prior."""
    candidates = rng.standard_normal((CANDIDATES, len(SeismicInversion.parameters)))
    legacy = np.random.RandomState(rng.integers(2**31)).get_state()  # emcee knows no other
    return emcee.State(candidates[np.argsort(log_prob(candidates))[-WALKERS:]], random_state=legacy)


def _walk(log_prob: LogProb, state: emcee.State, moves: Moves, steps: int) -> emcee.EnsembleSampler:
    sampler = emcee.EnsembleSampler(*state.coords.shape, log_prob, moves=moves, vectorize=True)
    sampler.run_mcmc(state, steps)
    return sampler


def _independent(settled: Array) -> Callable[[Array, Any], tuple[Array, Array]]:
    """Proposals of a mixture fitted to earlier states, wherever the walker stands; its parts have Student's tails."""
    fit = GaussianMixture(PARTS, reg_covar=1e-5, random_state=0).fit(settled[::STRIDE])
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
