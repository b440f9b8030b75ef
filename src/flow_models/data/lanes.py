"""How the training files are divided, so that each of several workers reads its own part of every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # training knows shares, and not what makes shards
    from flow_models.data.packing import PackedFile

_MOST = 16
_FILES = 4  # of a lane, at least: what it has less, it cannot mix


@dataclass(frozen=True)
class Share:
    """What a worker takes of every batch: one of as many equal parts as there are workers."""

    worker: int = 0
    workers: int = 1

    def rows(self, batch_size: int) -> slice:
        """Its rows of the batch; the workers divide the size."""
        return slice(self.worker * batch_size // self.workers, (self.worker + 1) * batch_size // self.workers)


WHOLE = Share()


def lanes_of(files: Sequence[PackedFile], batch_size: int) -> list[list[PackedFile]]:
    """The files in lanes of about as many images, each of which gives an equal part of every batch.

    How many lanes there are follows from the files and the batch, not from who reads them: the batches
    are the same for any number of workers. Few files, or a prime batch, are one lane.
    """
    most = min(_MOST, len(files) // _FILES)
    number = next((number for number in range(most, 1, -1) if batch_size % number == 0), 1)
    lanes: list[list[PackedFile]] = [[] for _ in range(number)]
    for file in sorted(files, key=lambda file: (-file.count, file.name)):
        min(lanes, key=_images).append(file)
    return lanes


def steps_per_epoch(files: Sequence[PackedFile], batch_size: int) -> int:
    """How many whole batches there are: the lane with the fewest images says."""
    lanes = lanes_of(files, batch_size)
    return min(map(_images, lanes)) // (batch_size // len(lanes))


def _images(files: Sequence[PackedFile]) -> int:
    return sum(file.count for file in files)
