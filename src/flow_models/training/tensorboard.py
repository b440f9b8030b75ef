"""The curves of a run as TensorBoard reads them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from flow_models.training.listeners import Row

AXES = ("epoch", "step", "seconds")
# What tf.summary.scalar writes: that function itself needs TensorBoard installed, which only the viewer does.
SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class=1)


class TensorBoard:
    """A listener that writes each column of the history as a scalar over the steps.

    Args:
        folder: of this run alone. A resumed run writes its curves anew from the history, so that epochs after the last
            checkpoint, which are trained a second time, stand in it once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = tf.summary.create_noop_writer()

    def on_start(self, history: Sequence[Row]) -> None:
        """Begin the curves, with the epochs that are done."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._writer = tf.summary.create_file_writer(str(self._folder))
        for row in history:
            self._write(row)

    def on_epoch(self, row: Row) -> None:
        """Continue the curves, for a viewer that is open to see."""
        self._write(row)
        self._writer.flush()

    def on_end(self, folder: Path | None) -> None:  # noqa: ARG002 - the curves stay, saved model or not
        """Close the file."""
        self._writer.close()

    def _write(self, row: Row) -> None:
        with self._writer.as_default():
            for name, value in row.items():
                if name not in AXES:
                    tf.summary.write(name, tf.constant(value, tf.float32), step=int(row["step"]), metadata=SCALAR)
