"""Do two sets of samples come from one distribution? Three answers, in three units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

Points = NDArray[np.float64]

# So many pairs of points at a time: their distances (512 KiB) stay in a core's cache.
_PAIRS_AT_ONCE = 2**16


def c2st(a: ArrayLike, b: ArrayLike, *, seed: int, folds: int = 5, hidden: Sequence[int] | None = None) -> float:
    """Classifier two-sample test: how often a neural network can tell the two sets apart.

    The mean held-out accuracy over the folds, with the benchmark's classifier: two hidden layers
    of 10 d rectified units, Adam, until the training loss stalls. It is what the benchmark's
    published figures are of, so it is comparable to them only with its defaults and with sets of
    equal size. The classifier's own weakness lets bad samples pass, chance lets good ones fail
    (it may fall below 0.5): compare values of the same number of samples.

    Args:
        a: ``(n, d)``, the reference: both sets are centred and scaled by its mean and standard
            deviation. A coordinate that is constant in it is only centred.
        b: ``(m, d)``.
        seed: of the folds and the classifier.
        folds: of the cross-validation.
        hidden: units of each hidden layer; ``(10 d, 10 d)`` when None.

    Returns:
        An accuracy in [0, 1]; 0.5 if the sets cannot be told apart, 1 if always.

    Raises:
        ValueError: if the widths differ, a set has fewer than two points or a value is not finite.

    References:
        Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests", eq. 2; Lueckmann et al.
        2021, "Benchmarking simulation-based inference", and its code ``sbibm``.
    """
    a, b = _two_sets(a, b)
    center, scale = a.mean(axis=0), a.std(axis=0, ddof=1)
    points = (np.concatenate([a, b]) - center) / np.where(scale > 0, scale, 1)
    which = np.repeat([0, 1], [len(a), len(b)])
    layers = tuple(hidden) if hidden is not None else (10 * a.shape[1],) * 2
    classifier = MLPClassifier(layers, activation="relu", solver="adam", max_iter=10_000, random_state=seed)
    split = KFold(folds, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # on matrices this small the threads of BLAS take six times as long
        return float(cross_val_score(classifier, points, which, cv=split, scoring="accuracy").mean())


def mmd_squared(a: ArrayLike, b: ArrayLike, *, widths: Sequence[float] = (0.05, 0.2, 0.9)) -> float:
    """Squared maximum mean discrepancy, without bias, for a sum of inverse multiquadrics.

    The kernel is ``k(x, y) = Σ_h 1 / (1 + |x - y|² / h²)``; the estimate
    ``mean k(a, a') + mean k(b, b') - 2 mean k(a, b)`` leaves out the pairs of a point with itself,
    so its mean is 0 for one distribution and a single value may be negative.

    Args:
        a: ``(n, d)``.
        b: ``(m, d)``.
        widths: h, in the unit of the points. The defaults are those of the inverse-kinematics
            benchmark, whose coordinates are of order 1.

    Returns:
        A number of at most ``2 len(widths)``; about 0 for one distribution.

    Raises:
        ValueError: if the widths differ, a set has fewer than two points, a value is not finite or
            a kernel width is not positive.

    References:
        Gretton et al. 2012, "A kernel two-sample test", eq. 3; Kruse et al. 2021, "Benchmarking
        invertible architectures on inverse problems" (the kernel and the widths).
    """
    squares = np.square(np.asarray(widths, np.float64))
    if not squares.size or (np.asarray(widths) <= 0).any():
        raise ValueError(f"widths are {tuple(widths)}; a kernel needs positive ones")

    def kernel(distance_squared: Points) -> float:
        return float(sum(h * (1 / (distance_squared + h)).sum() for h in squares))

    a, b = _two_sets(a, b)
    within = sum((_sum_over_pairs(kernel, x, x) - squares.size * len(x)) / (len(x) * (len(x) - 1)) for x in (a, b))
    return within - 2 * _sum_over_pairs(kernel, a, b) / (len(a) * len(b))


def energy_distance(a: ArrayLike, b: ArrayLike) -> float:
    """``2 E|a - b| - E|a - a'| - E|b - b'|`` over pairs of different points, so without bias.

    It has no width to choose and is in the unit of the points: scale them first if their
    coordinates have different units. A single value may be negative.

    Args:
        a: ``(n, d)``.
        b: ``(m, d)``.

    Returns:
        About 0 for one distribution.

    Raises:
        ValueError: if the widths differ, a set has fewer than two points or a value is not finite.

    References:
        Székely & Rizzo 2013, "Energy statistics: a class of statistics based on distances": its
        energy distance, with U-statistics in place of its V-statistics.
    """

    def distance(distance_squared: Points) -> float:
        return float(np.sqrt(distance_squared).sum())

    a, b = _two_sets(a, b)
    within = sum(_sum_over_pairs(distance, x, x) / (len(x) * (len(x) - 1)) for x in (a, b))
    return 2 * _sum_over_pairs(distance, a, b) / (len(a) * len(b)) - within


def _sum_over_pairs(function: Callable[[Points], float], a: Points, b: Points) -> float:
    """The function summed over the squared distances of all pairs, a block of rows at a time."""
    rows = max(1, _PAIRS_AT_ONCE // len(b))
    blocks = (a[start : start + rows] for start in range(0, len(a), rows))
    return sum(function(cdist(block, b, "sqeuclidean")) for block in blocks)


def _two_sets(a: ArrayLike, b: ArrayLike) -> tuple[Points, Points]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if (first.ndim, second.ndim) != (2, 2) or first.shape[1] != second.shape[1]:
        raise ValueError(f"a {first.shape} and b {second.shape} are not two sets of points (n, d) and (m, d)")
    for name, points in (("a", first), ("b", second)):
        if len(points) <= 1:
            raise ValueError(f"{name} has {len(points)} points; a set needs at least two")
        if not np.isfinite(points).all():
            raise ValueError(f"{name} has a value that is not finite in row {np.argwhere(~np.isfinite(points))[0, 0]}")
    return first, second
