from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from flow_models.training.tensorboard import TensorBoard

ROWS = [
    {"epoch": epoch, "step": 10 * epoch, "seconds": 1.0, "train_nats": 5.0 - epoch, "holdout_nats": 6.0 - epoch}
    for epoch in (1, 2, 3)
]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What a viewer would show: the points of each curve, in the order of the files."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


def test_every_column_is_a_curve_over_the_steps(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    board.on_start([])
    for row in ROWS:
        board.on_epoch(row)
    board.on_end(tmp_path)
    assert scalars(tmp_path) == {
        "train_nats": [(10, 4.0), (20, 3.0), (30, 2.0)],
        "holdout_nats": [(10, 5.0), (20, 4.0), (30, 3.0)],
    }


def test_a_viewer_sees_an_epoch_before_the_run_is_over(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    board.on_start([])
    board.on_epoch(ROWS[0])
    assert scalars(tmp_path)["train_nats"] == [(10, 4.0)]


@pytest.mark.parametrize("kept", [1, 2])
def test_a_resumed_run_continues_the_curves_and_no_epoch_stands_in_them_twice(tmp_path: Path, kept: int) -> None:
    interrupted = TensorBoard(tmp_path)
    interrupted.on_start([])
    for row in ROWS[:2]:
        interrupted.on_epoch(row)
    interrupted.on_end(None)
    resumed = TensorBoard(tmp_path)
    resumed.on_start(ROWS[:kept])
    for row in ROWS[kept:]:
        resumed.on_epoch(row)
    resumed.on_end(tmp_path)
    assert scalars(tmp_path)["train_nats"] == [(10, 4.0), (20, 3.0), (30, 2.0)]
