"""Random numbers that are independent of the simulations under test."""

from __future__ import annotations

import numpy as np


def generator(seed: int) -> np.random.Generator:
    """A stream of its own for a seed.

    Truths are often drawn from ``default_rng(seed)`` with the seed that is given to the test too. The
    same stream would then hand the test the truths themselves as its references or fresh latents.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
