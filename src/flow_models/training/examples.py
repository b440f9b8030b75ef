"""What a model learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from flow_models.data.lanes import WHOLE, Share
from flow_models.training.step import Batch


def batch_of(arrays: Sequence[Any]) -> Any:
    """As a model's loss takes them: rows and their context, or rows alone."""
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


class Batches(Protocol):
    """A pure function of its arguments."""

    def __call__(self, epoch: int, skip: int, share: Share = WHOLE, /) -> Iterable[Batch]:
        """The batches of an epoch after the first ``skip``, or a worker's share of each of them."""


@dataclass(frozen=True)
class TrainingData:
    """Batches to learn from, and held-out examples to stop by.

    Attributes:
        batches: ``[batch, *event_shape]``, uint8 or float32; for a conditional model the pair
            of these and the context ``[batch, context_width]``.
        steps_per_epoch: how many there are.
        holdout: ``[n, *event_shape]``, or its pair with the context, never trained on; decides which weights are kept
            and when to stop.
        first: what the layers that normalise take their scales from, like a batch; None: the first batch.
    """

    batches: Batches
    steps_per_epoch: int
    holdout: np.ndarray | tuple[np.ndarray, np.ndarray]
    first: np.ndarray | tuple[np.ndarray, np.ndarray] | None = None
