"""Two models on the same examples: how much worse is one on average, and how sure is that?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
_RESAMPLES = 9_999
_VALUES_AT_ONCE = 10_000_000  # of all resamples, 80 MB


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean of paired differences with its confidence interval, over ``number`` pairs."""

    mean: float
    lower: float
    upper: float
    number: int


def paired_difference(new: ArrayLike, old: ArrayLike, *, level: float = LEVEL, seed: int = 0) -> Difference:
    """The mean of ``new - old`` with its percentile bootstrap interval.

    Examples differ in difficulty far more than two models do on one of them: pairing takes that out.

    Args:
        new: ``(n,)``, the loss of each example under one model.
        old: ``(n,)``, that of the same examples, in the same order, under the other.
        level: of confidence, two-sided: the truth lies above ``upper`` in half of the rest.
        seed: of the resamples; the same seed gives the same interval.

    Raises:
        ValueError: if the lengths differ, there are fewer than two pairs, or one is not finite.

    References:
        Efron & Tibshirani 1993, "An introduction to the bootstrap", section 13.3.
    """
    from scipy import stats  # half a second, which a promotion or a rollback by hand need not wait for

    a, b = np.asarray(new, np.float64), np.asarray(old, np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size < 2:  # noqa: PLR2004
        raise ValueError(f"losses {a.shape} and {b.shape} are not two or more pairs")
    differences = a - b
    if not np.isfinite(differences).all():
        raise ValueError(f"pair {int(np.isfinite(differences).argmin())} is not finite")
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(_VALUES_AT_ONCE // differences.size, 1),
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(
        mean=float(differences.mean()),
        lower=float(interval.low),
        upper=float(interval.high),
        number=differences.size,
    )
