"""The training loop: one for all applications."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf

from flow_models.data.lanes import Share
from flow_models.errors import FlowModelsError, InterruptedTrainingError
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training.bar import Bar
from flow_models.training.checkpoints import Checkpoints
from flow_models.training.examples import TrainingData
from flow_models.training.interruption import Interruption
from flow_models.training.listeners import Listener
from flow_models.training.precision import Compute
from flow_models.training.progress import Outcome, Progress, write_history
from flow_models.training.schedule import learning_rate
from flow_models.training.step import Batch, Stepper
from flow_models.training.strategy import Replicas

logger = logging.getLogger(__name__)

PATIENCE_WITH_NONFINITE = 10
EVALUATION_BATCH = 256
PLAIN = Compute("float32", "graph")


def train(
    model: FlowModel,
    data: TrainingData,
    settings: TrainSettings,
    *,
    seed: int,
    folder: Path,
    checkpoints: Path,
    compute: Compute = PLAIN,
    listeners: Sequence[Listener] = (),
    replicas: Replicas | None = None,
) -> Outcome:
    """Fit by exact maximum likelihood, and save the best averaged weights and ``history.csv`` to ``folder``.

    A run that was interrupted continues from its last checkpoint in ``checkpoints``, a folder that
    belongs to these settings and these data; it is removed when the model is saved.
    ``compute``: how a step is, but for the type, which the model was made with. ``listeners`` hear of each epoch.

    With several ``replicas``, in whose scope the model was made, every process calls this with the same data: a batch
    is the same as it would be for one, each process asks for its share of it alone, of which each of its replicas takes
    a part; the chief alone reads and writes checkpoints and models.

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
        stepper = Stepper(model, settings, seed=seed, xla=compute.xla, streams=compute.streams, replicas=replicas)
        return train_with(stepper, data, settings, folder=folder, checkpoints=checkpoints, listeners=listeners)


def train_with(
    stepper: Stepper,
    data: TrainingData,
    settings: TrainSettings,
    *,
    folder: Path,
    checkpoints: Path,
    listeners: Sequence[Listener] = (),
    title: str = "train",
) -> Outcome:
    """``train`` with a stepper at its start, to use again what was compiled for another run of its settings.

    ``title``: of the progress bar.
    """
    return _Run(stepper, data, settings, checkpoints, listeners, title).to_the_end(folder)


class _Run:
    """The state of one run and the steps that move it."""

    def __init__(
        self,
        stepper: Stepper,
        data: TrainingData,
        settings: TrainSettings,
        checkpoints: Path,
        listeners: Sequence[Listener],
        title: str,
    ) -> None:
        self._stepper, self._data, self._settings, self._listeners = stepper, data, settings, listeners
        self._replicas, self._title = stepper.replicas, title
        self._share = Share(stepper.replicas.worker, stepper.replicas.workers)
        tensors = tf.train.Checkpoint(stepper=stepper, fixed=stepper.model.non_trainable_variables)
        self._checkpoints = Checkpoints(checkpoints, tensors)
        self._progress = Progress()
        self._total = settings.epochs * data.steps_per_epoch
        self._interruption = Interruption()
        self._nonfinite_in_a_row = 0
        self._started = self._saved = time.monotonic()
        self._seconds, self._asked = 0.0, False

    def to_the_end(self, folder: Path) -> Outcome:
        self._start()
        saved: Path | None = None
        try:
            for listener in self._listeners:
                listener.on_start(self._progress.history)
            with self._interruption, closing(self._bar()) as bar:
                reason = self._epochs(bar)
            if not math.isfinite(self._progress.best):
                raise FlowModelsError(
                    "the held-out likelihood was never finite: look at the held-out data for what lies outside the "
                    "model's support or far from all else"
                )
            self._save_model(folder)
            saved = folder
        finally:
            for listener in self._listeners:
                listener.on_end(saved)
        if self._replicas.chief:
            self._checkpoints.clear()
        progress = self._progress
        epochs = int(progress.history[-1]["epoch"])
        return Outcome(
            reason, progress.step, epochs, self._seconds, progress.best, self._stepper.unit, progress.skipped
        )

    def _start(self) -> None:
        """From the last checkpoint, or from the data."""
        state = self._replicas.share_json(self._checkpoints.restore() if self._replicas.chief else None)
        if state is None and self._replicas.chief:  # who has a whole batch
            first = self._data.first
            batch = next(iter(self._data.batches(0, 0))) if first is None else tf.nest.map_structure(tf.constant, first)
            self._stepper.initialise(batch)
        self._stepper.share()
        if state is None:
            return
        self._progress = Progress(**state)
        self._started -= self._progress.seconds
        self._agree()
        logger.info("resumed at step %d of %d", self._progress.step, self._total)

    def _bar(self) -> Bar:
        settings = self._settings
        return Bar(
            self._title,
            unit=self._stepper.unit,
            batch_size=settings.batch_size,
            steps=self._total,
            done=self._progress.step,
            minutes=settings.minutes,
        )

    def _epochs(self, bar: Bar) -> str:
        """Train until a limit is met, and say which."""
        per_epoch = self._data.steps_per_epoch
        while True:
            # Not by the step: a checkpoint may lie between an epoch's last step and its end.
            epoch = len(self._progress.history)
            done = self._progress.step - epoch * per_epoch
            if epoch >= self._settings.epochs:
                return f"all {epoch} epochs done"
            first, started = self._progress.step, time.monotonic()
            for batches in _several(self._data.batches(epoch, done, self._share), self._stepper.together):
                self._steps(batches)
                bar.advance(len(batches), seconds=self._seconds)
                if self._fraction(self._progress.step) >= 1:
                    break
            examples = (self._progress.step - first) * self._settings.batch_size
            self._close_epoch(epoch, examples / max(time.monotonic() - started, 1e-9), bar)
            if epoch - self._progress.best_epoch >= self._settings.patience:
                return f"no better held-out likelihood in {self._settings.patience} epochs"
            if self._settings.minutes is not None and self._seconds >= 60 * self._settings.minutes:
                return f"{_duration(self._settings.minutes)} are over"

    def _steps(self, batches: Sequence[Batch]) -> None:
        progress = self._progress
        rates = [
            learning_rate(self._settings, step=step, fraction=self._fraction(step))
            for step in range(progress.step, progress.step + len(batches))
        ]
        for loss, norm in zip(*self._stepper.steps(batches, progress.step, rates), strict=True):
            self._count(float(loss), float(norm))
        self._agree()
        self._save_when_due()

    def _agree(self) -> None:
        """Read the clock, the chief's for all workers, and see whether any of them was asked to stop."""
        own = time.monotonic() - self._started if self._replicas.chief else 0.0
        self._seconds, asked = self._replicas.total(own, bool(self._interruption.requested))
        self._asked = bool(asked)

    def _count(self, loss: float, norm: float) -> None:
        if math.isfinite(norm):
            self._nonfinite_in_a_row = 0
            self._progress.take(loss, norm)
            return
        step = self._progress.step
        self._nonfinite_in_a_row += 1
        self._progress.leave_out()
        logger.warning("step %d: the loss or its gradient is not finite; the step is left out", step)
        if self._nonfinite_in_a_row >= PATIENCE_WITH_NONFINITE:
            raise FlowModelsError(
                f"training diverged at step {step}: "
                f"{self._nonfinite_in_a_row} steps in a row were not finite; "
                "lower train.learning_rate or train.clip_norm"
            )

    def _close_epoch(self, epoch: int, rate: float, bar: Bar) -> None:
        """Measure the average on the held-out data, remember it if it is the best, and tell of the epoch."""
        progress = self._progress
        holdout = self._holdout()
        self._agree()
        if holdout < progress.best:
            progress.best, progress.best_epoch = holdout, epoch
            self._stepper.best.assign(self._stepper.average)
        row = progress.close_epoch(
            holdout,
            unit=self._stepper.unit,
            seconds=self._seconds,
            learning_rate=float(self._stepper.optimizer.learning_rate),
            examples_per_second=rate,
        )
        for listener in self._listeners:
            listener.on_epoch(row)
        bar.close_epoch(epoch + 1, holdout=holdout, best=progress.best, examples_per_second=rate)

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
        if not np.isfinite(own).all():
            logger.warning("%d of %d held-out examples have no finite loss", (~np.isfinite(own)).sum(), len(own))
        total, count = self._replicas.total(float(own.sum()), len(own))
        return total / count

    def _fraction(self, step: int) -> float:
        """How much of the run is done at a step, by steps or by time, whichever is further."""
        by_time = self._seconds / (60 * self._settings.minutes) if self._settings.minutes else 0.0
        return max(step / self._total, by_time)

    def _save_when_due(self) -> None:
        """Write a checkpoint when the time has come, or when asked to stop: then stop after it."""
        if self._asked or time.monotonic() - self._saved >= 60 * self._settings.checkpoint_minutes:
            self._save()
        if self._asked:
            own = self._interruption.requested
            raise InterruptedTrainingError(
                f"{own.name if own else 'another worker was stopped'} at step {self._progress.step} of {self._total}: "
                "saved; run again to continue from there"
            )

    def _save(self) -> None:
        if not self._replicas.chief:
            return
        self._progress.seconds = self._seconds
        self._checkpoints.save(self._progress.step, asdict(self._progress))
        self._saved = time.monotonic()

    def _save_model(self, folder: Path) -> None:
        self._stepper.use(self._stepper.best)
        if self._replicas.chief:
            self._stepper.model.save(folder)
            write_history(folder / "history.csv", self._progress.history)


def _several(batches: Iterable[Batch], number: int) -> Iterator[list[Batch]]:
    """So many at a time, and at the end what is left."""
    left = iter(batches)
    return iter(lambda: list(islice(left, number)), [])


def _duration(minutes: float) -> str:
    return f"{minutes:g} minutes" if minutes >= 1 else f"{60 * minutes:.3g} seconds"
