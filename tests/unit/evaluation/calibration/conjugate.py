"""A posterior that is right by construction, and the ways in which it can be made wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

NOISE = 0.5  # of the observation; the prior is N(0, I)
VARIANCE = NOISE**2 / (1 + NOISE**2)


@dataclass(frozen=True)
class Simulations:
    truth: np.ndarray
    """``(n, p)``, from N(0, I)."""
    observations: np.ndarray
    """``(n, p)``, truth plus noise."""
    samples: np.ndarray
    """``(n, draws, p)``, from N(mean, std² I)."""
    mean: np.ndarray
    std: float

    @property
    def latents(self) -> np.ndarray:
        """The truth as the flow of this posterior encodes it."""
        return (self.truth - self.mean) / self.std

    def log_prob(self, points: np.ndarray) -> np.ndarray:
        mean = self.mean if points.ndim == 2 else self.mean[:, None]
        return -0.5 * np.square((points - mean) / self.std).sum(axis=-1)


def simulate(n: int, draws: int, parameters: int, *, seed: int, width: float = 1, shift: float = 0) -> Simulations:
    """Right posteriors of n simulations, widened by ``width`` and moved by ``shift`` deviations."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((n, parameters))
    observations = truth + NOISE * rng.standard_normal(truth.shape)
    std = width * np.sqrt(VARIANCE)
    mean = observations / (1 + NOISE**2) + shift * np.sqrt(VARIANCE)
    samples = mean[:, None] + std * rng.standard_normal((n, draws, parameters))
    return Simulations(truth, observations, samples, mean, std)


WRONG = {"narrow": {"width": 0.6}, "wide": {"width": 1.6}, "shifted": {"shift": 1.0}}


def chance(events: int, trials: int, probability: float) -> bool:
    """Whether so many events are inside the 99.9 % band of their binomial distribution."""
    low, high = binom.ppf([0.0005, 0.9995], trials, probability)
    return bool(low <= events <= high)
