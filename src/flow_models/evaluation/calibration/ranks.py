"""Simulation-based calibration: ranks of the truth, and the band that their ECDF should stay in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, poisson

from flow_models.evaluation.calibration.lots import generator
from flow_models.evaluation.calibration.pairs import samples_and_truth

# The ECDF is compared at so many points. More cost time and say little: its values next to each
# other are nearly the same.
_POINTS = 100
# A pointwise level of e^-40 is 0 for every purpose, and this many halvings leave 1e-8 of its logarithm.
_SMALLEST_LOG_LEVEL, _HALVINGS = -40.0, 32


@dataclass(frozen=True)
class Band:
    """Where the ECDF of n uniform numbers stays, everywhere at once, with the band's level.

    Attributes:
        points: ``(k,)``, increasing, in (0, 1).
        lower: ``(k,)``, least share of numbers at or below the point.
        upper: ``(k,)``, greatest share.
        coverage: exact probability of staying inside at all points; at least the level asked for,
            and above it by no more than the steps of the binomial distribution force.
    """

    points: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    coverage: float


@dataclass(frozen=True)
class BandCheck:
    """Whether the ranks of each parameter are uniform, as far as their ECDF tells.

    Attributes:
        inside: ``(p,)``, True if the ECDF of the parameter's ranks is inside the band.
        excess: ``(p,)``, how far it leaves the band at most, as a share of the simulations; 0 inside.
        ecdf: ``(k, p)``, at the points of the band.
        band: the band.
    """

    inside: NDArray[np.bool_]
    excess: NDArray[np.float64]
    ecdf: NDArray[np.float64]
    band: Band


def sbc_ranks(samples: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> NDArray[np.int64]:
    """How many of its posterior's samples each true parameter exceeds.

    A truth that equals some of its samples gets one of the ranks between them by lot, so that
    parameters with atoms or of low precision have uniform ranks too.

    Args:
        samples: ``(n, draws, p)``, independent draws from n posteriors.
        truth: ``(n, p)``, drawn from the prior, each the origin of its posterior's observation.
        seed: of the lots.

    Returns:
        ``(n, p)``, integers in [0, draws]; uniform if the posterior is calibrated.

    Raises:
        ValueError: if the shapes do not belong together or a value is NaN.

    References:
        Talts et al. 2018, "Validating Bayesian inference algorithms with simulation-based
        calibration", arXiv:1804.06788, theorem 1; Modrák et al. 2023, "Simulation-based calibration
        checking for Bayesian computation", section 2 (the lots).
    """
    s, t = samples_and_truth(samples, truth)
    below, equal = ((compare(s, t[:, None])).sum(axis=1) for compare in (np.less, np.equal))
    return np.asarray(below + generator(seed).integers(equal + 1))


def simultaneous_band(n: int, *, level: float = 0.95, points: ArrayLike | None = None) -> Band:
    """The band that the ECDF of n independent U(0, 1) numbers is inside of everywhere, with ``level``.

    At each point z the band is the central interval of Binomial(n, z) at one pointwise level, which
    is adjusted until the probability to be inside at all points is ``level``. That probability is
    computed and not simulated: counts of uniform numbers are a Poisson process conditioned on its
    total, so it is a chain of short convolutions.

    Args:
        n: number of uniform numbers; of simulations, for ranks.
        level: probability to be inside, in (0, 1).
        points: where the ECDF is compared, increasing in (0, 1); 100 equal steps, or n of them if
            that is fewer, when None. For numbers on a grid, take grid points only.

    Raises:
        ValueError: if n < 1, the level is outside (0, 1) or the points are not increasing in (0, 1).

    References:
        Säilynoja, Bürkner & Vehtari 2022, "Graphical test for discrete uniformity and its
        applications in goodness-of-fit evaluation and multiple sample comparison", section 2;
        Moscovich & Nadler 2017, "Fast calculation of boundary crossing probabilities for Poisson
        processes", section 2 (the probability).
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n = {n} and level = {level}: a band needs n > 0 and a level in (0, 1)")
    steps = max(min(n, _POINTS), 2)
    z = np.arange(1, steps) / steps if points is None else np.asarray(points, np.float64)
    if z.ndim != 1 or not z.size or not (np.diff(z, prepend=0, append=1) > 0).all():
        raise ValueError("points must be (k,) with k > 0, increasing and inside (0, 1)")
    return _band(n, level, tuple(z.tolist()))


def ranks_inside_band(ranks: ArrayLike, draws: int, *, level: float = 0.95) -> BandCheck:
    """Test every parameter's ranks for uniformity by the simultaneous band of their ECDF.

    The ranks are compared on their own grid of multiples of 1 / (draws + 1), where a discrete
    uniform ECDF is distributed as a continuous one: so the level is exact at any number of draws.
    The level is that of one parameter. For all p to be inside with probability ``level`` at least,
    give ``1 - (1 - level) / p``.

    Args:
        ranks: ``(n, p)`` or ``(n,)``, integers in [0, draws], as `sbc_ranks` gives.
        draws: number of samples that the truth was ranked among.
        level: probability to be inside if the posterior is calibrated.

    Raises:
        ValueError: if the ranks are not integers in [0, draws], there are none or the level is
            outside (0, 1).

    References:
        Säilynoja, Bürkner & Vehtari 2022, sections 2 and 4.
    """
    r = np.asarray(ranks)
    r = r[:, None] if r.ndim == 1 else r
    if r.ndim != len("np") or not r.size or draws < 1:
        raise ValueError(f"ranks {r.shape} among {draws} draws: they must be (n, p), not empty")
    if not np.issubdtype(r.dtype, np.integer) or r.min() < 0 or r.max() > draws:
        raise ValueError(f"ranks are {r.dtype} in [{r.min()}, {r.max()}], not integers in [0, {draws}]")
    steps = max(min(len(r), draws + 1, _POINTS), 2)
    highest = np.unique(np.arange(1, steps) * (draws + 1) // steps)  # ranks below `highest` are counted
    band = simultaneous_band(len(r), level=level, points=highest / (draws + 1))
    ecdf = np.stack([np.searchsorted(np.sort(column), highest, side="left") for column in r.T], axis=1) / len(r)
    excess = np.maximum(band.lower[:, None] - ecdf, ecdf - band.upper[:, None]).max(axis=0)
    return BandCheck(excess <= 0, np.maximum(excess, 0), ecdf, band)


@cache
def _band(n: int, level: float, points: tuple[float, ...]) -> Band:
    z = np.array(points)
    inside, outside = _SMALLEST_LOG_LEVEL, 0.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        wide_enough = _probability_inside(n, z, *_pointwise(n, z, np.exp(middle))) >= level
        inside, outside = (middle, outside) if wide_enough else (inside, middle)
    lower, upper = _pointwise(n, z, np.exp(inside))
    for bound in (z, lower, upper):
        bound.flags.writeable = False  # the cache hands the same arrays to everybody
    return Band(z, lower / n, upper / n, _probability_inside(n, z, lower, upper))


def _pointwise(n: int, z: NDArray[np.float64], level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts between which Binomial(n, z) falls with probability 1 - level, each tail half of it."""
    lower, upper = binom.ppf(level / 2, n, z), binom.isf(level / 2, n, z)
    return np.maximum(lower, 0).astype(np.int64), upper.astype(np.int64)


def _probability_inside(n: int, z: NDArray[np.float64], lower: NDArray[np.int64], upper: NDArray[np.int64]) -> float:
    """Probability that the counts of n uniform numbers at or below each z are within the bounds."""
    weights, first = np.ones(1), 0  # of the counts first, first + 1, ... at the point before
    for step, low, high in zip(np.diff(z, prepend=0), lower, upper, strict=True):
        increments = poisson.pmf(np.arange(high - first + 1), n * step)
        weights = np.convolve(weights, increments)[max(low - first, 0) : high - first + 1]
        first = max(low, first)
    rest = n - first - np.arange(len(weights))
    return float(weights @ poisson.pmf(rest, n * (1 - z[-1])) / poisson.pmf(n, n))
