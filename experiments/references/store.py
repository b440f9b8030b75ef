"""How a reference posterior is judged and kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow_probability as tfp

from flow_models.simulators.base import Array

SAMPLES = 1000
HIGHEST_R_HAT = 1.02
LOWEST_EFFECTIVE = 1000.0


def write(path: Path, *, truth: Array, observations: Array, chains: Array, ensembles: int, seconds: float) -> None:
    """Thin the chains to 1,000 samples a case and write them with their diagnostics.

    The file holds ``truth (n, p)``, ``observations (n, m)`` and ``samples (n, 1000, p)`` in float32; of each case
    the largest R-hat of halved ensembles over its parameters, ``r_hat (n,)``, and the smallest effective size of all
    chains together, ``effective (n,)``; and ``seconds``.

    Args:
        path: of an ``.npz`` file.
        truth: what was simulated, ``(n, p)``.
        observations: what was seen of it, ``(n, m)``.
        chains: ``(steps, chains, n, p)``, after warm-up.
        ensembles: into how many of equal size the chains fall; those of one learn from each other, so that only
            ensembles are compared. As many as there are chains, if they are all independent.
        seconds: of processor time that sampling took, of all cases together.

    Raises:
        SystemExit: if a case has not converged; nothing is written.
    """
    steps, count, cases, width = chains.shape
    together = chains.reshape(steps, ensembles, -1, cases, width).swapaxes(1, 2).reshape(-1, ensembles, cases, width)
    r_hat = tfp.mcmc.potential_scale_reduction(together, independent_chain_ndims=1, split_chains=True).numpy()
    effective = tfp.mcmc.effective_sample_size(chains, cross_chain_dims=1, filter_beyond_positive_pairs=True).numpy()
    r_hat, effective = r_hat.max(axis=-1), effective.min(axis=-1)
    summary = f"R-hat {r_hat.max():.4f} at most, effective size {effective.min():.0f} at least, CPU {seconds:.0f} s"
    if not (r_hat.max() <= HIGHEST_R_HAT and effective.min() >= LOWEST_EFFECTIVE):
        sys.exit(f"{path.name}: not converged ({summary}); take longer chains")
    one_after_another = chains.transpose(2, 1, 0, 3).reshape(cases, count * steps, width)
    kept = np.linspace(0, count * steps - 1, SAMPLES).round().astype(int)
    np.savez_compressed(
        path,
        truth=truth.astype(np.float32),
        observations=observations.astype(np.float32),
        samples=one_after_another[:, kept].astype(np.float32),
        r_hat=r_hat,
        effective=effective,
        seconds=seconds,
    )
    print(f"{path.name}: {cases} cases, {summary}")  # noqa: T201
