"""The bar that shows a run."""

from __future__ import annotations

import logging

from tqdm import tqdm

logger = logging.getLogger(__name__)

UNITS = {
    "bits_per_dim": "bits/dim",
    "nats": "nats",
    "loss": "loss",
}


class Bar:
    """Over examples, whose rate and time to go are those of the run; where there is no terminal, a line an epoch.

    Args:
        title: before it.
        unit: of the loss, one of ``UNITS``.
        batch_size: examples in a step.
        steps: of the whole run, and ``done``, of those before it went on.
        minutes: that the run may take.
    """

    def __init__(self, title: str, *, unit: str, batch_size: int, steps: int, done: int, minutes: float | None) -> None:
        self._unit, self._batch_size, self._minutes = UNITS[unit], batch_size, minutes
        self._examples = steps * batch_size
        self._bar = tqdm(
            total=self._examples,
            initial=done * batch_size,
            unit=" vectors" if unit == "nats" else " img",
            unit_scale=True,
            desc=title,
            disable=None,
            smoothing=0.1,
        )

    def close(self) -> None:
        """Leave it as it is."""
        self._bar.close()

    def advance(self, steps: int, *, seconds: float) -> None:
        """So many steps were taken, which is so far into the run."""
        self._bar.update(steps * self._batch_size)
        rate = self._bar.format_dict["rate"]
        if self._minutes is not None and rate:
            # The time may be over before the epochs are.
            left = max(60 * self._minutes - seconds, 0.0)
            self._bar.total = min(self._examples, self._bar.n + int(rate * left))

    def close_epoch(self, epoch: int, *, holdout: float, best: float, examples_per_second: float) -> None:
        """An epoch, from 1, is over."""
        self._bar.set_postfix({"epoch": epoch, self._unit: f"{holdout:.3f}", "best": f"{best:.3f}"})
        if self._bar.disable:
            logger.info("epoch %d: %.3f %s held out, %.0f examples/s", epoch, holdout, self._unit, examples_per_second)
