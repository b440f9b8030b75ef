"""Coverage: how often regions of the posterior contain the truth that they should."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kstest

from flow_models.evaluation.calibration.lots import generator
from flow_models.evaluation.calibration.pairs import refuse_nan, samples_and_truth


def hpd_levels(log_prob_truth: ArrayLike, log_prob_samples: ArrayLike, *, seed: int = 0) -> NDArray[np.float64]:
    """Level of the smallest highest-density region that contains the truth: share of denser samples.

    The truth's rank among its samples by density, spread over (0, 1) by lot within its step of
    1 / (draws + 1): exactly U(0, 1) for a calibrated posterior at any number of draws.

    Args:
        log_prob_truth: ``(n,)``, posterior log-density at the truth.
        log_prob_samples: ``(n, draws)``, at independent samples from the same posterior. Any constant
            of the posterior may be left out, if it is from both.
        seed: of the lots.

    Returns:
        ``(n,)`` in (0, 1). Many near 1 mean overconfidence, few mean underconfidence.

    Raises:
        ValueError: if the shapes do not belong together or a value is NaN.

    References:
        Hermans et al. 2022, "A trust crisis in simulation-based inference? Your posterior
        approximations can be unfaithful", eq. 1 (expected coverage of highest-density regions).
    """
    truth, samples = np.asarray(log_prob_truth, np.float64), np.asarray(log_prob_samples, np.float64)
    if (truth.ndim, samples.ndim) != (1, 2) or len(samples) != len(truth) or not samples.size:
        raise ValueError(f"log_prob_truth {truth.shape} and log_prob_samples {samples.shape} are not (n,), (n, draws)")
    refuse_nan(truth, "log_prob_truth")
    refuse_nan(samples, "log_prob_samples")
    return _spread_ranks(-truth, -samples, generator(seed))


def tarp_fractions(
    samples: ArrayLike, truth: ArrayLike, *, references: ArrayLike | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Tests of accuracy with random points: share of samples nearer to a reference than the truth is.

    Test these raw fractions for uniformity (`uniformity_p_value`): a binned coverage curve compared
    with its own grid is no valid test. Distances are taken after each parameter is divided by the
    width of its pooled values, truth and samples alike, so that neither is set apart.

    References that ignore the observation cannot reject a posterior that is the prior. To reject all
    that are wrong, references must depend on the observation, but never on the truth. A mere shift is
    found late, because it draws samples nearer to one half of the references and away from the other.

    Args:
        samples: ``(n, draws, p)``, independent draws from n posteriors.
        truth: ``(n, p)``.
        references: ``(n, p)``; uniform over the box of the pooled values when None.
        seed: of the references, and of the lots that spread ranks over (0, 1) as in `hpd_levels`.

    Returns:
        ``(n,)`` in (0, 1); exactly U(0, 1) for a calibrated posterior.

    Raises:
        ValueError: if the shapes do not belong together or a value is NaN.

    References:
        Lemos et al. 2023, "Sampling-based accuracy testing of posterior estimators for general
        inference", algorithm 2 and theorem 3.
    """
    s, t = samples_and_truth(samples, truth)
    rng = generator(seed)
    # A few far samples of a heavy-tailed posterior must not stretch the box: references far from
    # everything would all look from the same side.
    low, high = np.quantile(np.concatenate([s, t[:, None]], axis=1), [0.001, 0.999], axis=(0, 1))
    if references is None:
        r = rng.uniform(low, high, t.shape)
    else:
        r = np.asarray(references, np.float64)
        if r.shape != t.shape:
            raise ValueError(f"references {r.shape} and truth {t.shape} do not belong together")
        refuse_nan(r, "references")
    width = np.where(high > low, high - low, 1)
    to_truth = np.linalg.norm((t - r) / width, axis=-1)
    to_samples = np.linalg.norm((s - r[:, None]) / width, axis=-1)
    return _spread_ranks(to_truth, to_samples, rng)


def uniformity_p_value(levels: ArrayLike) -> float:
    """p-value of the Kolmogorov-Smirnov test that levels or raw fractions are U(0, 1).

    Args:
        levels: ``(n,)`` of independent simulations, from `hpd_levels` or `tarp_fractions`.

    Raises:
        ValueError: if there are none or one is outside [0, 1].
    """
    return float(kstest(_levels(levels, "levels"), "uniform").pvalue)


def coverage(levels: ArrayLike, nominal: ArrayLike) -> NDArray[np.float64]:
    """Share of the simulations whose truth is inside the region of each nominal level.

    Args:
        levels: ``(n,)``, level of the region that just contains the truth, from `hpd_levels` or
            `tarp_fractions`.
        nominal: ``(k,)``, in [0, 1].

    Returns:
        ``(k,)``; equal to the nominal levels, up to chance, if calibrated.

    Raises:
        ValueError: if there are none or one is outside [0, 1].
    """
    ordered = np.sort(_levels(levels, "levels"))
    return np.asarray(np.searchsorted(ordered, _levels(nominal, "nominal"), side="right") / len(ordered))


def central_interval_coverage(samples: ArrayLike, truth: ArrayLike, levels: ArrayLike) -> NDArray[np.float64]:
    """Share of the simulations whose truth is in the central interval of each level, by parameter.

    The interval's ends are the Weibull quantiles of the samples, whose k-th of L has the level
    k / (L + 1): with the usual ones, a calibrated posterior of few samples would seem overconfident.

    Args:
        samples: ``(n, draws, p)``, independent draws from n posteriors.
        truth: ``(n, p)``.
        levels: ``(k,)``, in [0, 1]; above ``(draws - 1) / (draws + 1)`` the samples have no such
            interval, and their range stands for it.

    Returns:
        ``(k, p)``; each row equal to its level, up to chance, if calibrated.

    Raises:
        ValueError: if the shapes do not belong together, a value is NaN or a level outside [0, 1].

    References:
        Talts et al. 2018, arXiv:1804.06788, section 3; Hyndman & Fan 1996, "Sample quantiles in
        statistical packages", definition 6.
    """
    s, t = samples_and_truth(samples, truth)
    level = _levels(levels, "levels")
    low, high = (np.quantile(s, q, axis=1, method="weibull") for q in ((1 - level) / 2, (1 + level) / 2))
    return np.asarray(((low <= t) & (t <= high)).mean(axis=1))


def coverage_error(fractions: ArrayLike, levels: ArrayLike) -> float:
    """Distance of coverage from its nominal level, averaged over levels (and parameters).

    Args:
        fractions: ``(k,)`` or ``(k, p)``, from `coverage` or `central_interval_coverage`.
        levels: ``(k,)``, nominal.

    Returns:
        A number in [0, 1]. n simulations of a calibrated posterior have about ``0.3 / sqrt(n)``.

    Raises:
        ValueError: if the lengths differ or a value is outside [0, 1].
    """
    level, f = _levels(levels, "levels"), np.asarray(fractions, np.float64)
    if f.ndim not in (1, 2) or len(f) != len(level):
        raise ValueError(f"fractions {f.shape} and levels {level.shape} do not belong together")
    _levels(f.ravel(), "fractions")
    return float(np.abs(f.T - level).mean())


def _spread_ranks(
    truth: NDArray[np.float64], samples: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rank of the truth ``(n,)`` among its samples ``(n, draws)``, spread over (0, 1) by lot."""
    below = (samples < truth[:, None]).sum(axis=1)
    equal = (samples == truth[:, None]).sum(axis=1)
    return np.asarray((below + rng.uniform(size=len(truth)) * (equal + 1)) / (samples.shape[1] + 1))


def _levels(values: ArrayLike, name: str) -> NDArray[np.float64]:
    v = np.asarray(values, np.float64)
    if v.ndim != 1 or not v.size:
        raise ValueError(f"{name} has shape {v.shape}; it must be (n,) with n > 0")
    # Written so that a NaN is refused too.
    if not ((v >= 0) & (v <= 1)).all():
        raise ValueError(f"{name}[{np.argmin((v >= 0) & (v <= 1))}] is not in [0, 1]")
    return v
