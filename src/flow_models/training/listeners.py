"""Who may follow a run while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

Row = dict[str, float]


class Listener(Protocol):
    """Hears of each epoch. The loop knows nothing of what becomes of it: curves, a tracking server.

    A row is a row of ``history.csv``: ``epoch`` and ``step`` from 1, ``seconds`` since the start, the loss in training
    and held out, the learning rate, the mean norm of the gradients and the examples per second.
    """

    def on_start(self, history: Sequence[Row]) -> None:
        """The run starts, or goes on after these epochs."""

    def on_epoch(self, row: Row) -> None:
        """An epoch is over."""

    def on_end(self, folder: Path | None) -> None:
        """The run is over, its model saved in ``folder``; None if it was interrupted or failed."""
