"""Posterior samples and the truths that they are samples for: checked once, for every measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def samples_and_truth(samples: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples ``(n, draws, p)`` and truth ``(n, p)`` as arrays.

    Raises:
        ValueError: if they do not belong together, are empty or have a NaN.
    """
    s, t = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    if s.ndim != len("ndp") or t.shape != (len(s), s.shape[-1]) or not s.size:
        raise ValueError(f"samples {s.shape} and truth {t.shape} are not (n, draws, p) and (n, p)")
    refuse_nan(s, "samples")
    refuse_nan(t, "truth")
    return s, t


def refuse_nan(values: NDArray[np.float64], name: str) -> None:
    """Refuse values of which one is NaN: it would count as larger or smaller than all others.

    Raises:
        ValueError: it names the first simulation that has one.
    """
    if np.isnan(values).any():
        raise ValueError(f"{name} has a NaN in simulation {np.argwhere(np.isnan(values))[0, 0]}")
