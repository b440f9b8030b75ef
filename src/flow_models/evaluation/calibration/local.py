"""Local C2ST: is the posterior right at this observation, and not only on average over all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from flow_models.evaluation.calibration.lots import generator

# Weights decay far more than scikit-learn's default of 1e-4 lets them. A classifier that fits the noise
# of its pairs is as sure of itself under the null hypothesis as it is of a wrong posterior: with 2,000
# pairs in 6 + 6 dimensions, posteriors 0.3 deviations off or 20 % too narrow stood 23 standard deviations
# or more above the null with this decay and 1 to 5 with 0.3; with the default, the null itself was at 0.2.
_WEIGHT_DECAY = 1.0


@dataclass(frozen=True)
class LocalC2ST:
    """The test at each of k observations.

    Attributes:
        statistic: ``(k,)``, in [0, 1/4]; larger is worse.
        p_value: ``(k,)``, in [1 / (trials + 1), 1]; each is of its own test: mind how many there are.
        null: ``(trials, k)``, the statistics of posteriors that are right.
    """

    statistic: NDArray[np.float64]
    p_value: NDArray[np.float64]
    null: NDArray[np.float64]


def local_c2st(
    latents: ArrayLike,
    conditions: ArrayLike,
    observations: ArrayLike,
    *,
    seed: int,
    trials: int = 100,
    evaluations: int = 1000,
    hidden: tuple[int, ...] | None = None,
) -> LocalC2ST:
    """Local classifier two-sample test for flows: are latents of the truth N(0, I) given the observation?

    A flow that is the posterior sends parameters θ, given the observation x that they caused, to
    latents that are N(0, I) and independent of x. A classifier learns to tell pairs (z, x) with such
    latents from pairs with fresh normal ones. At the observation in question its answers are compared
    with indifference, over fresh normal z: ``t(x) = mean (d(z, x) - 1/2)²``.

    The null distribution is analytic: classifiers trained on pairs whose latents are fresh normal on
    both sides. It serves all observations at once, so many cost hardly more than one. p-values are
    ``(1 + #{null ≥ t}) / (trials + 1)``, which is exact for one observation; the time is that of
    ``trials + 1`` trainings.

    Args:
        latents: ``(n, d)``, the flow's z for each pair (θ, x), θ from the prior and x simulated from
            it; the pairs must have taken no part in training. Thousands make a sharp test.
        conditions: ``(n, m)``, the x of each pair.
        observations: ``(k, m)``, where the posterior is judged.
        seed: of the fresh latents and the classifiers.
        trials: classifiers trained under the null hypothesis.
        evaluations: fresh latents at which the classifier is asked, the same for all.
        hidden: units of each hidden layer; twice ``10 (d + m)`` when None.

    Raises:
        ValueError: if the shapes do not belong together, a value is not finite or there are
            no trials or evaluations.

    References:
        Linhart, Gramfort & Rodrigues 2023, "L-C2ST: local diagnostics for posterior approximations
        in simulation-based inference", section 3.2 (l-C2ST-NF) and algorithms 1 and 2.
    """
    z, x, at = _matrix(latents, "latents"), _matrix(conditions, "conditions"), _matrix(observations, "observations")
    if len(z) != len(x) or x.shape[1] != at.shape[1]:
        raise ValueError(f"latents {z.shape}, conditions {x.shape} and observations {at.shape} do not belong together")
    if min(trials, evaluations) < 1:
        raise ValueError(f"{trials} trials and {evaluations} evaluations: the test needs at least one of each")
    scale = x.std(axis=0)
    x, at = ((value - x.mean(axis=0)) / np.where(scale > 0, scale, 1) for value in (x, at))
    layers = hidden if hidden is not None else (10 * (z.shape[1] + x.shape[1]),) * 2
    rng = generator(seed)
    fresh = rng.standard_normal((evaluations, z.shape[1]))
    with threadpool_limits(1):  # as in ``c2st``
        statistic = _statistics(z, x, at, fresh, layers, rng)
        null = np.stack([_statistics(rng.standard_normal(z.shape), x, at, fresh, layers, rng) for _ in range(trials)])
    return LocalC2ST(statistic, (1 + (null >= statistic).sum(axis=0)) / (trials + 1), null)


def _statistics(
    z: NDArray[np.float64],
    x: NDArray[np.float64],
    at: NDArray[np.float64],
    fresh: NDArray[np.float64],
    layers: tuple[int, ...],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Train on the pairs (z, x) against (normal, x); the statistic ``(k,)`` at the observations."""
    pairs = np.concatenate([np.hstack([rng.standard_normal(z.shape), x]), np.hstack([z, x])])
    classifier = MLPClassifier(layers, alpha=_WEIGHT_DECAY, max_iter=1000, random_state=int(rng.integers(2**31))).fit(
        pairs, np.repeat([0, 1], len(x))
    )
    asked = (np.hstack([fresh, np.broadcast_to(each, (len(fresh), len(each)))]) for each in at)
    return np.array([np.square(classifier.predict_proba(points)[:, 1] - 0.5).mean() for points in asked])


def _matrix(values: ArrayLike, name: str) -> NDArray[np.float64]:
    v = np.asarray(values, np.float64)
    if v.ndim != len("nd") or not v.size:
        raise ValueError(f"{name} has shape {v.shape}; it must be (n, width), not empty")
    if not np.isfinite(v).all():
        raise ValueError(f"{name} has a value that is not finite in row {np.argwhere(~np.isfinite(v))[0, 0]}")
    return v
