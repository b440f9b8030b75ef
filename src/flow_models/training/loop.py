"""The training loop: one for all applications."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from flow_models.data.atomic import complete_file
from flow_models.errors import FlowModelsError
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training.checkpoints import Checkpoints
from flow_models.training.interruption import Interruption
from flow_models.training.schedule import learning_rate
from flow_models.training.step import Batch, Stepper
from flow_models.training.strategy import Replicas

logger = logging.getLogger(__name__)

PATIENCE_WITH_NONFINITE = 10
EVALUATION_BATCH = 256
UNITS = {"bits_per_dim": "bits/dim", "nats": "nats"}


@dataclass(frozen=True)
class TrainingData:
    """What a model learns from.

    Attributes:
        batches: the batches of an epoch from a given one on, ``batches(epoch, skip)``, a pure
            function of its arguments; ``[batch, *event_shape]``, uint8 or float32; for a conditional model the pair
            of these and the context ``[batch, context_width]``.
        steps_per_epoch: how many there are.
        holdout: ``[n, *event_shape]``, or its pair with the context, never trained on; decides which weights are kept
            and when to stop.
    """

    batches: Callable[[int, int], tf.data.Dataset]
    steps_per_epoch: int
    holdout: np.ndarray | tuple[np.ndarray, np.ndarray]


@dataclass
class Progress:
    """How far a run is; what a checkpoint holds beside the tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = -1
    skipped: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


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


def train(
    model: FlowModel,
    data: TrainingData,
    settings: TrainSettings,
    *,
    seed: int,
    folder: Path,
    checkpoints: Path,
    replicas: Replicas | None = None,
) -> Outcome:
    """Fit by exact maximum likelihood, and save the best averaged weights and ``history.csv`` to ``folder``.

    A run that was interrupted continues from its last checkpoint in ``checkpoints``, a folder that
    belongs to these settings and these data; it is removed when the model is saved.

    With several ``replicas``, in whose scope the model was made, every process calls this with the same data: a batch
    is the same as it would be for one, each replica takes its part of it, and the chief alone reads and writes files.

    Raises:
        FlowModelsError: if the loss stays non-finite, the data are fewer than one batch, or a worker is lost.
    """
    replicas = replicas or Replicas()
    if data.steps_per_epoch < 1:
        raise FlowModelsError(
            f"train.batch_size: {settings.batch_size} is more than there are training examples; use a smaller one"
        )
    if settings.batch_size % replicas.count:
        raise FlowModelsError(
            f"train.batch_size: {settings.batch_size} cannot be shared by {replicas.count} replicas; "
            f"use a multiple of {replicas.count}"
        )
    with replicas.losses_explained():
        return _Run(model, data, settings, seed=seed, checkpoints=checkpoints, replicas=replicas).to_the_end(folder)


class _Run:
    """The state of one run and the steps that move it."""

    def __init__(
        self,
        model: FlowModel,
        data: TrainingData,
        settings: TrainSettings,
        *,
        seed: int,
        checkpoints: Path,
        replicas: Replicas,
    ) -> None:
        self._model, self._data, self._settings, self._replicas = model, data, settings, replicas
        self._stepper = Stepper(model, settings, seed=seed, replicas=replicas)
        tensors = tf.train.Checkpoint(stepper=self._stepper, fixed=model.bijector.non_trainable_variables)
        self._checkpoints = Checkpoints(checkpoints, tensors)
        self._progress = Progress()
        self._total = settings.epochs * data.steps_per_epoch
        self._interruption = Interruption()
        self._nonfinite_in_a_row = 0
        self._started = self._saved = time.monotonic()
        self._seconds, self._asked = 0.0, False

    def to_the_end(self, folder: Path) -> Outcome:
        self._start()
        done = self._progress.step
        with (
            self._interruption,
            tqdm(total=self._total, initial=done, unit="step", desc="train", disable=None, smoothing=0.1) as bar,
        ):
            reason = self._epochs(bar)
        return self._finish(folder, reason)

    def _start(self) -> None:
        """From the last checkpoint, or from the data."""
        state = self._replicas.share_json(self._checkpoints.restore() if self._replicas.chief else None)
        if state is None:
            self._stepper.initialise(next(iter(self._data.batches(0, 0))))
        self._stepper.share()
        if state is None:
            return
        self._progress = Progress(**state)
        self._started -= self._progress.seconds
        self._agree()
        logger.info("resumed at step %d of %d", self._progress.step, self._total)

    def _epochs(self, bar: tqdm[Any]) -> str:
        """Train until a limit is met, and say which."""
        per_epoch = self._data.steps_per_epoch
        while True:
            epoch, done = divmod(self._progress.step, per_epoch)
            if epoch >= self._settings.epochs:
                return f"all {epoch} epochs done"
            losses = []
            for batch in self._data.batches(epoch, done):
                losses.append(self._step(batch))
                bar.update()
                if self._fraction() >= 1:
                    break
            self._close_epoch(epoch, losses, bar)
            if epoch - self._progress.best_epoch >= self._settings.patience:
                return f"no better held-out likelihood in {self._settings.patience} epochs"
            if self._settings.minutes is not None and self._seconds >= 60 * self._settings.minutes:
                return f"{self._settings.minutes:g} minutes are over"

    def _step(self, batch: Batch) -> tf.Tensor:
        progress = self._progress
        rate = learning_rate(self._settings, step=progress.step, fraction=self._fraction())
        loss, finite = self._stepper.step(batch, tf.constant(progress.step), tf.constant(rate, self._model.dtype))
        self._count_nonfinite(bool(finite))
        progress.step += 1
        self._agree()
        self._save_when_due()
        return loss

    def _agree(self) -> None:
        """Read the clock, the chief's for all workers, and see whether any of them was asked to stop."""
        own = time.monotonic() - self._started if self._replicas.chief else 0.0
        self._seconds, asked = self._replicas.total(own, bool(self._interruption.requested))
        self._asked = bool(asked)

    def _count_nonfinite(self, finite: bool) -> None:
        if finite:
            self._nonfinite_in_a_row = 0
            return
        self._nonfinite_in_a_row += 1
        self._progress.skipped += 1
        logger.warning("step %d: the loss or its gradient is not finite; the step is left out", self._progress.step)
        if self._nonfinite_in_a_row >= PATIENCE_WITH_NONFINITE:
            raise FlowModelsError(
                f"training diverged at step {self._progress.step}: "
                f"{self._nonfinite_in_a_row} steps in a row were not finite; "
                "lower train.learning_rate or train.clip_norm"
            )

    def _close_epoch(self, epoch: int, losses: list[tf.Tensor], bar: tqdm[Any]) -> None:
        """Measure the average on the held-out data and remember it if it is the best."""
        progress, unit = self._progress, self._stepper.unit
        holdout = self._holdout()
        self._agree()
        if holdout < progress.best:
            progress.best, progress.best_epoch = holdout, epoch
            self._stepper.best.assign(self._stepper.average)
        progress.history.append(
            {
                "epoch": epoch + 1,
                "step": progress.step,
                "seconds": round(self._seconds, 1),
                f"train_{unit}": float(np.mean(losses)) if losses else math.nan,
                f"holdout_{unit}": holdout,
                "learning_rate": float(self._stepper.optimizer.learning_rate),
            }
        )
        bar.set_postfix({"epoch": epoch + 1, UNITS[unit]: f"{holdout:.3f}", "best": f"{progress.best:.3f}"})
        if bar.disable:
            rate = progress.step * self._settings.batch_size / max(self._seconds, 1e-9)
            logger.info("epoch %d: %.3f %s held out, %.0f examples/s", epoch + 1, holdout, UNITS[unit], rate)

    def _holdout(self) -> float:
        """The mean loss of the average on the held-out data, of which each worker takes its share."""
        self._stepper.use(self._stepper.average)
        data, values = self._data.holdout, [np.zeros(0)]
        length = len(data[0]) if isinstance(data, tuple) else len(data)
        starts = list(enumerate(range(0, length, EVALUATION_BATCH)))
        for index, start in starts[self._replicas.worker :: self._replicas.workers]:
            batch = tf.nest.map_structure(lambda each, at=start: tf.constant(each[at : at + EVALUATION_BATCH]), data)
            values.append(self._stepper.evaluate(batch, tf.constant(index)))
        self._stepper.use(self._stepper.weights)
        own = np.concatenate(values)
        total, count = self._replicas.total(float(own.sum()), len(own))
        return total / count

    def _fraction(self) -> float:
        """How much of the run is done, by steps or by time, whichever is further."""
        by_time = self._seconds / (60 * self._settings.minutes) if self._settings.minutes else 0.0
        return max(self._progress.step / self._total, by_time)

    def _save_when_due(self) -> None:
        """Write a checkpoint when the time has come, or when asked to stop: then stop after it."""
        if self._asked or time.monotonic() - self._saved >= 60 * self._settings.checkpoint_minutes:
            self._save()
        if self._asked:
            own = self._interruption.requested
            raise FlowModelsError(
                f"{own.name if own else 'another worker was stopped'} at step {self._progress.step} of {self._total}: "
                "saved; run again to continue from there"
            )

    def _save(self) -> None:
        if not self._replicas.chief:
            return
        self._progress.seconds = self._seconds
        self._checkpoints.save(self._progress.step, asdict(self._progress))
        self._saved = time.monotonic()

    def _finish(self, folder: Path, reason: str) -> Outcome:
        progress = self._progress
        self._stepper.use(self._stepper.best)
        if self._replicas.chief:
            self._model.save(folder)
            write_history(folder / "history.csv", progress.history)
            self._checkpoints.clear()
        epochs = int(progress.history[-1]["epoch"])
        return Outcome(
            reason, progress.step, epochs, self._seconds, progress.best, self._stepper.unit, progress.skipped
        )


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write one row an epoch as CSV."""
    with complete_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
