"""Are recent data still what a model was trained on, and does it still raise as few alarms as it promised?

Both answers are tests whose rate of false alarms is held at a level. That level is of one look: who looks every
night at 0.01 is alarmed for nothing once in a hundred nights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom, ks_2samp

# A p-value that is on the level but for rounding counts as on it.
_ROUNDING = 1e-12
_MANY = 100


@dataclass(frozen=True)
class Shift:
    """One statistic of the recent data against the reference.

    Attributes:
        distance: of Kolmogorov and Smirnov, ``sup |F - G|``, in [0, 1].
        difference: of the means, in standard deviations of the reference; NaN where that has none.
        p_value: of the two-sample test alone.
        adjusted: the p-value after Holm, over all statistics.
        drifted: ``adjusted`` is at most the level, and ``distance`` at least what matters.
    """

    distance: float
    difference: float
    p_value: float
    adjusted: float
    drifted: bool


@dataclass(frozen=True)
class Decay:
    """Alarms among recent inliers against the promised level.

    Attributes:
        images: m, that were judged.
        alarms: of them with a p-value of at most ``promised``.
        promised: α, the share of inliers that may be alarms.
        p_value: chance of as many alarms or more if nothing has changed.
        decayed: ``p_value`` is at most the level of the test.
    """

    images: int
    alarms: int
    promised: float
    p_value: float
    decayed: bool


def data_drift(
    reference: Mapping[str, ArrayLike], recent: Mapping[str, ArrayLike], *, level: float, least_distance: float = 0.0
) -> dict[str, Shift]:
    """Two-sample Kolmogorov-Smirnov tests, one a statistic, with Holm's correction over all of them.

    If both sets come from one distribution, the chance that any statistic is called drifted is at most
    ``level``, however many there are and however they depend on each other. Ties, as in the width of images, make
    the test the more careful. With many data the smallest difference is significant: ``least_distance`` says from
    where on it matters, and only makes alarms rarer.

    Args:
        reference: values ``(n,)`` by statistic; NaN are passed over.
        recent: values ``(m,)`` of the same statistics.
        level: bound on the rate of false alarms, in (0, 1).
        least_distance: in [0, 1]; a smaller Kolmogorov-Smirnov distance is no drift.

    Returns:
        By statistic, those that drifted first, then by their p-values. One that has no value on a side is left out.

    Raises:
        ValueError: if the statistics differ or the level is outside (0, 1).

    References:
        Hodges 1958, "The significance probability of the Smirnov two-sample test"; Holm 1979, "A simple
        sequentially rejective multiple test procedure", section 3.
    """
    _require_level(level)
    if set(reference) != set(recent):
        raise ValueError(f"statistics {sorted(reference)} and {sorted(recent)} are not the same")
    sides = {name: (_known(reference[name]), _known(recent[name])) for name in reference}
    sides = {name: both for name, both in sides.items() if all(side.size for side in both)}
    tests = {name: ks_2samp(a, b, method=_method(a, b)) for name, (a, b) in sides.items()}
    adjusted = holm([test.pvalue for test in tests.values()])
    shifts = {
        name: Shift(
            distance=float(test.statistic),
            difference=_difference(*sides[name]),
            p_value=float(test.pvalue),
            adjusted=float(p),
            drifted=bool(p <= level * (1 + _ROUNDING) and test.statistic >= least_distance),
        )
        for (name, test), p in zip(tests.items(), adjusted, strict=True)
    }
    return dict(sorted(shifts.items(), key=lambda item: (not item[1].drifted, item[1].p_value, -item[1].distance)))


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """p-values that may each be compared with one level, which then bounds the chance of any false rejection.

    ``max_{j ≤ i} min(1, (k - j + 1) p_(j))`` for the i-th smallest of k.

    Args:
        p: ``(k,)``, p-values, whatever their dependence.

    Returns:
        ``(k,)``, in the order of ``p``.

    References:
        Holm 1979, "A simple sequentially rejective multiple test procedure", section 3.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(np.minimum(values[order] * np.arange(len(values), 0, -1), 1))
    adjusted = np.empty_like(values)
    adjusted[order] = stepped
    return adjusted


def decay(p_values: ArrayLike, *, promised: float, calibration_size: int, level: float) -> Decay:
    """Are there more alarms than the model promised, beyond what chance and its calibration set explain?

    Of n calibration inliers, ``k = floor(α (n + 1))`` lie at or beyond the threshold of an alarm, so that, given
    the calibration set, an inlier's chance of an alarm is Beta(k, n + 1 - k) and not α. The number of alarms among m
    of them is then beta-binomial, exactly if no scores are tied, and less if some are. A binomial test at α would
    blame the data for the luck of the calibration.

    Args:
        p_values: ``(m,)``, conformal p-values (`evaluation.conformal.p_values`) of recent images that should be
            inliers, all with the same calibration set.
        promised: α, in (0, 1).
        calibration_size: n.
        level: of this test, in (0, 1).

    Raises:
        ValueError: if a p-value is not in [0, 1], or a level not in (0, 1).

    References:
        Vovk 2012, "Conditional validity of inductive conformal predictors", proposition 2a (the beta
        distribution); Marques 2023, "Universal distribution of the empirical coverage in split conformal
        prediction", arXiv:2303.02770, theorem 1 (the number of alarms).
    """
    _require_level(level)
    _require_level(promised)
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values {p.shape} must be (m,) and in [0, 1]")
    beyond = int(promised * (calibration_size + 1) * (1 + _ROUNDING))
    alarms = int((p <= promised * (1 + _ROUNDING)).sum())
    # With k = 0 no score, however odd, has so small a p-value.
    chance = float(betabinom.sf(alarms - 1, len(p), beyond, calibration_size + 1 - beyond)) if beyond else 1.0
    return Decay(len(p), alarms, promised, chance, decayed=chance <= level * (1 + _ROUNDING))


def _method(a: NDArray[np.float64], b: NDArray[np.float64]) -> str:
    """The exact distribution where the limit is not near yet; SciPy's sums for it fail where it is."""
    return "exact" if min(len(a), len(b)) < _MANY else "asymp"


def _difference(reference: NDArray[np.float64], recent: NDArray[np.float64]) -> float:
    spread = float(reference.std())
    return float(recent.mean() - reference.mean()) / spread if spread else float("nan")


def _known(values: ArrayLike) -> NDArray[np.float64]:
    v = np.asarray(values, np.float64)
    return v[~np.isnan(v)]


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, not in (0, 1)")
