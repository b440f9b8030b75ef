"""What a step learns from: rows in random order, by their weights if they have any, and with noise that smooths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from flow_models.data.lanes import WHOLE, Share
from flow_models.estimators.rows import Arrays
from flow_models.estimators.side_by_side import Lane
from flow_models.training import batch_of

# Rows by their numbers; the generator draws the noise.
Take = Callable[[NDArray[np.int64], np.random.Generator], Arrays]


@dataclass(frozen=True, kw_only=True)
class RowBatches:
    """The batches of an epoch, as the training loop asks for them.

    Attributes:
        take: gives rows.
        rows: numbers of those to learn from.
        weights: of all rows; None if all count alike.
        size: rows of a batch.
        per_epoch: batches.
        epochs: in which the noise falls to nothing.
        noise: a matrix as ``noise_of`` gives it; None for none.
        seed: of the order and the noise, with the number of the epoch.
        lane: asked before every batch whether to go on.
    """

    take: Take
    rows: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    size: int
    per_epoch: int
    epochs: int
    noise: NDArray[np.float64] | None
    seed: list[int]
    lane: Lane

    def __call__(self, epoch: int, skip: int, share: Share = WHOLE) -> Iterator[Any]:
        """The epoch's batches after the first ``skip``, or a worker's share of each."""
        rng = np.random.default_rng([*self.seed, epoch])
        arrays = self.take(self._chosen(rng), rng)
        if self.noise is not None:
            arrays = _smoothed(arrays, self.noise, rng, left=1 - epoch / self.epochs)
        for start in range(skip * self.size, self.per_epoch * self.size, self.size):
            self.lane.go_on()
            yield batch_of([tf.constant(each[start : start + self.size][share.rows(self.size)]) for each in arrays])

    def _chosen(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of an epoch: none twice before all came once, or by weight."""
        number = self.per_epoch * self.size
        if self.weights is not None:
            return self.rows[draw_by_weight(self.weights[self.rows], number, rng)]
        if number <= len(self.rows):
            return rng.choice(self.rows, number, replace=False)
        again = math.ceil(number / len(self.rows))
        return np.concatenate([rng.permutation(self.rows) for _ in range(again)])[:number]


def draw_by_weight(weights: NDArray[np.float64], number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many numbers of rows in random order, each as often as its share of the weights says.

    A row comes up ``number · w / Σ w`` times, rounded up or down so that this is its mean: systematic resampling
    (Kitagawa 1996, appendix). Unlike factors of the loss, it leaves every step as many rows of equal influence.
    """
    points = (np.arange(number) + rng.uniform()) / number
    ends = np.cumsum(weights) / weights.sum()
    return rng.permutation(np.minimum(np.searchsorted(ends, points, side="right"), len(weights) - 1))


def effective_rows(weights: NDArray[np.float64]) -> int:
    """As many rows of one weight would tell as much of a mean: ``(Σ w)² / Σ w²`` (Kish 1965)."""
    return max(2, round(float(weights.sum() ** 2 / (weights**2).sum())))


def noise_of(arrays: Arrays, smoothing: float) -> NDArray[np.float64]:
    """A matrix that makes normal rows into noise with the correlations of the rows, contexts included.

    Noise with correlations of its own leaves a linear relation between context and v what it is.
    """
    joint = np.hstack(arrays).astype(np.float64)
    n, width = joint.shape
    values, vectors = np.linalg.eigh(np.cov(joint.T, bias=True).reshape(width, width))
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return np.asarray(smoothing * n ** (-1 / (width + 4)) * root)


def _smoothed(arrays: Arrays, spread: NDArray[np.float64], rng: np.random.Generator, *, left: float) -> Arrays:
    """The rows with the noise that is left of that of the first epoch; classes as they are."""
    noise = left * rng.standard_normal((len(arrays[0]), len(spread))) @ spread
    own, of_context = noise[:, : arrays[0].shape[1]], noise[:, arrays[0].shape[1] :]
    noisy = (arrays[0] + own, *(each + of_context if of_context.size else each for each in arrays[1:]))
    return tuple(each.astype(np.float32) for each in noisy)
