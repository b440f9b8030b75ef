"""How far a run is, and how it ended."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from flow_models.data.atomic import complete_file
from flow_models.training.listeners import Row


@dataclass
class Progress:
    """How far a run is; what a checkpoint holds beside the tensors.

    Attributes:
        step: how many there were, left-out ones included.
        seconds: that they took.
        best: held-out loss, and ``best_epoch``, from 0, when it was.
        skipped: steps that were left out, for they were not finite.
        taken: the other steps of the epoch that is not over, and the sums of their ``losses`` and gradients' ``norms``.
        history: a row for each epoch that is over.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = -1
    skipped: int = 0
    taken: int = 0
    losses: float = 0.0
    norms: float = 0.0
    history: list[Row] = field(default_factory=list)

    def take(self, loss: float, norm: float) -> None:
        """A step was taken."""
        self.step += 1
        self.taken += 1
        self.losses += loss
        self.norms += norm

    def leave_out(self) -> None:
        """A step was left out."""
        self.step += 1
        self.skipped += 1

    def close_epoch(
        self, holdout: float, *, unit: str, seconds: float, learning_rate: float, examples_per_second: float
    ) -> Row:
        """Add the epoch to the history, and begin another."""
        taken = self.taken or math.nan
        row = {
            "epoch": len(self.history) + 1,
            "step": self.step,
            "seconds": round(seconds, 1),
            f"train_{unit}": self.losses / taken,
            f"holdout_{unit}": holdout,
            "learning_rate": learning_rate,
            "gradient_norm": self.norms / taken,
            "examples_per_second": round(examples_per_second, 1),
            "skipped_steps": self.skipped,
        }
        self.history.append(row)
        self.taken, self.losses, self.norms = 0, 0.0, 0.0
        return row


@dataclass(frozen=True)
class Outcome:
    """How a run ended; the likelihood is in bits per dimension for images, in nats for vectors."""

    reason: str
    steps: int
    epochs: int
    seconds: float
    holdout: float
    unit: str
    skipped_steps: int


def write_history(path: Path, history: list[Row]) -> None:
    """Write one row an epoch as CSV."""
    with complete_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
