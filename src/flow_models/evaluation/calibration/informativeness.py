"""How much was learned from an observation, and how far from the truth the posterior then lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_models.evaluation.calibration.pairs import samples_and_truth


def contraction(samples: ArrayLike, prior_std: ArrayLike) -> NDArray[np.float64]:
    """``1 - σ²_posterior / σ²_prior`` of every simulation and parameter.

    Args:
        samples: ``(n, draws, p)``, of n posteriors, with draws > 1.
        prior_std: ``(p,)``, positive.

    Returns:
        ``(n, p)``: 1 if the observation tells all, 0 if nothing, negative if the posterior is wider
        than the prior.

    Raises:
        ValueError: if the shapes do not belong together or a prior's width is not positive.

    References:
        Schad et al. 2021, "Toward a principled Bayesian workflow in cognitive science", section
        "Model sensitivity".
    """
    s, width = np.asarray(samples, np.float64), np.asarray(prior_std, np.float64)
    if s.ndim != len("ndp") or s.shape[1] <= 1 or width.shape != s.shape[2:]:
        raise ValueError(f"samples {s.shape} and prior_std {width.shape} are not (n, draws > 1, p) and (p,)")
    if not (width > 0).all():
        raise ValueError(f"prior_std[{np.argmin(width > 0)}] is not positive")
    return np.asarray(1 - s.var(axis=1, ddof=1) / width**2)


def z_score(samples: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """``(μ_posterior - truth) / σ_posterior`` of every simulation and parameter.

    Args:
        samples: ``(n, draws, p)``, of n posteriors, with draws > 1.
        truth: ``(n, p)``.

    Returns:
        ``(n, p)``. Calibrated Gaussian posteriors have mean 0 and standard deviation 1 over the
        simulations; a mean off 0 is bias, a spread above 1 overconfidence.

    Raises:
        ValueError: if the shapes do not belong together or the samples of a posterior are all equal.

    References:
        Schad et al. 2021, "Toward a principled Bayesian workflow in cognitive science", section
        "Model sensitivity".
    """
    s, t = samples_and_truth(samples, truth)
    if s.shape[1] == 1:
        raise ValueError("one draw of a posterior has no standard deviation")
    width = s.std(axis=1, ddof=1)
    if not (width > 0).all():
        raise ValueError(f"the samples of simulation {np.argwhere(~(width > 0))[0, 0]} are all equal in a parameter")
    return np.asarray((s.mean(axis=1) - t) / width)
