"""The loop on a small flow of small images: it learns, stops, and resumes where it was."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from flow_models.data.lanes import WHOLE, Share
from flow_models.errors import FlowModelsError
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training import Outcome, TrainingData, train, train_with
from flow_models.training.listeners import Listener, Row
from flow_models.training.loop import PLAIN
from flow_models.training.precision import Compute
from flow_models.training.step import Stepper

STEPS = 6


def model(**options: int) -> FlowModel:
    return FlowModel("glow", {"image_shape": (4, 4, 1), "levels": 1, "steps": 2, "hidden_channels": 8, **options})


def model_after_initialisation(using: TrainingData) -> list[tf.Variable]:
    fresh = model()
    Stepper(fresh, settings(), seed=3).initialise(next(iter(using.batches(0, 0))))
    return list(fresh.bijector.trainable_variables)


def images(count: int) -> np.ndarray:
    """Grey levels that follow each other, so that there is something to learn."""
    rng = np.random.default_rng(count)
    return np.clip(rng.normal(128, 30, [count, 1, 1, 1]) + rng.normal(0, 5, [count, 4, 4, 1]), 0, 255).astype(np.uint8)


def data(kill_at: tuple[int, int] | None = None) -> TrainingData:
    """Six batches an epoch; with ``kill_at`` the input fails at that epoch and batch, as a crash would."""
    everything = images(STEPS * 32)

    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        order = np.random.default_rng([7, epoch]).permutation(len(everything)).reshape(STEPS, -1)
        for index in range(skip, STEPS):
            if kill_at is not None and (epoch, index) >= kill_at:
                raise ConnectionError("the machine is gone")
            yield tf.constant(everything[order[index]][share.rows(order.shape[1])])

    return TrainingData(batches=batches, steps_per_epoch=STEPS, holdout=images(50))


def coarse() -> TrainingData:
    """Images of a few grey levels only: their density is far from flat within a level, if the flow may choose."""

    def few(values: np.ndarray) -> np.ndarray:
        return (values > 128).astype(np.uint8)

    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        yield from (tf.constant(few(batch.numpy())) for batch in data().batches(epoch, skip, share))

    return TrainingData(batches, STEPS, few(images(50)))  # type: ignore[arg-type]


def settings(**changes: object) -> TrainSettings:
    defaults = {
        "epochs": 4,
        "batch_size": 32,
        "learning_rate": 0.003,
        "warmup_steps": 3,
        "averaging": 0.5,
        "checkpoint_minutes": 0,
        "precision": "float32",
    }
    return TrainSettings(**(defaults | changes))  # type: ignore[arg-type]


class Recorder:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.before: list[float] = []
        self.epochs: list[float] = []
        self.saved: Path | None = Path("not over")

    def on_start(self, history: Sequence[Row]) -> None:
        self.before = [row["epoch"] for row in history]

    def on_epoch(self, row: Row) -> None:
        self.epochs.append(row["epoch"])

    def on_end(self, folder: Path | None) -> None:
        self.saved = folder


def run(
    tmp_path: Path,
    *,
    using: TrainingData | None = None,
    flow: FlowModel | None = None,
    to: str = "model",
    compute: Compute = PLAIN,
    listeners: Sequence[Listener] = (),
    **changes: object,
) -> Outcome:
    return train(
        flow or model(),
        using or data(),
        settings(**changes),
        seed=3,
        folder=tmp_path / to,
        checkpoints=tmp_path / "checkpoints" / to,
        compute=compute,
        listeners=listeners,
    )


def weights(folder: Path) -> list[np.ndarray]:
    return [variable.numpy() for variable in FlowModel.load(folder).bijector.variables]


def curves(folder: Path) -> list[dict[str, str]]:
    """The history, but for what depends on the clock."""
    timed = {"seconds", "examples_per_second"}
    with (folder / "history.csv").open() as file:
        return [{name: row[name] for name in row if name not in timed} for row in csv.DictReader(file)]


def test_it_learns_and_keeps_the_best_average(tmp_path: Path) -> None:
    outcome = run(tmp_path, epochs=8)
    history = list(csv.DictReader((tmp_path / "model/history.csv").open()))
    held_out = [float(row["holdout_bits_per_dim"]) for row in history]
    assert outcome.steps == 8 * STEPS
    assert outcome.holdout == min(held_out) < held_out[0] - 0.3
    assert [int(row["epoch"]) for row in history] == list(range(1, 9))


def test_the_saved_model_is_the_one_that_was_measured(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    loaded, held_out = FlowModel.load(tmp_path / "model"), images(50)
    noise = tf.random.stateless_uniform(held_out.shape, seed=[3, -2])
    bits = -loaded.log_prob(held_out + noise) / (16 * np.log(2))
    assert float(tf.reduce_mean(bits)) == pytest.approx(outcome.holdout, abs=1e-5)


@pytest.mark.parametrize(
    ("kill_at", "changes"),
    [
        ((0, 4), {}),
        ((1, 0), {}),
        ((2, 3), {"optimizer": "adamw", "weight_decay": 0.1, "decay": "exponential"}),
        ((1, 3), {"optimizer": "muon", "weight_decay": 0.1}),
    ],
)
def test_a_run_that_was_cut_off_ends_with_the_same_weights_and_curves(
    tmp_path: Path, kill_at: tuple[int, int], changes: dict[str, object]
) -> None:
    whole = run(tmp_path, to="whole", **changes)
    with pytest.raises(ConnectionError):
        run(tmp_path, to="resumed", using=data(kill_at), **changes)
    assert not (tmp_path / "resumed").exists()
    resumed = run(tmp_path, to="resumed", **changes)
    assert resumed.holdout == whole.holdout
    for a, b in zip(weights(tmp_path / "whole"), weights(tmp_path / "resumed"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert curves(tmp_path / "whole") == curves(tmp_path / "resumed")


def test_a_run_that_is_cut_off_between_an_epochs_last_step_and_its_end_closes_it_when_it_goes_on(
    tmp_path: Path,
) -> None:
    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        yield from data().batches(epoch, skip, share)
        if not skip:
            raise ConnectionError("the machine is gone")

    run(tmp_path, to="whole", epochs=2)
    with pytest.raises(ConnectionError):
        run(tmp_path, to="resumed", epochs=2, using=TrainingData(batches, STEPS, images(50)))  # type: ignore[arg-type]
    run(tmp_path, to="resumed", epochs=2)
    assert curves(tmp_path / "whole") == curves(tmp_path / "resumed")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_makes_kernels_smaller_and_leaves_the_rest(tmp_path: Path, optimizer: str) -> None:
    step = {"epochs": 1, "optimizer": optimizer, "averaging": 0.0}
    one_batch = TrainingData(lambda epoch, *_: data().batches(epoch, STEPS - 1), 1, images(50))
    run(tmp_path, to="plain", using=one_batch, **step)
    run(tmp_path, to="decayed", using=one_batch, weight_decay=0.5, **step)
    factor = 1 - 0.003 / 4 * 0.5  # the peak rate, in the first of three steps of warm-up
    variables = FlowModel.load(tmp_path / "plain").bijector.trainable_variables
    decayed = FlowModel.load(tmp_path / "decayed").bijector.trainable_variables
    start = model_after_initialisation(one_batch)
    for before, plain, shrunk in zip(start, variables, decayed, strict=True):
        expected = plain - (1 - factor) * before if plain.name == "kernel:0" else plain
        np.testing.assert_allclose(shrunk, expected, rtol=1e-5, atol=1e-7)


def test_noise_that_a_network_shapes_gives_a_tighter_bound(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"using": coarse(), "epochs": 16, "learning_rate": 0.01}
    uniform = run(tmp_path, to="uniform", **shared)
    shaped = run(tmp_path, to="shaped", flow=model(noise_channels=8), **shared)
    assert shaped.holdout < uniform.holdout - 0.02


def test_listeners_hear_of_every_epoch_once_and_of_the_end(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        run(tmp_path, using=data((2, 3)), listeners=[cut := Recorder()])
    run(tmp_path, listeners=[resumed := Recorder()])
    assert (cut.before, cut.epochs, cut.saved) == ([], [1, 2], None)
    assert (resumed.before, resumed.epochs, resumed.saved) == ([1, 2], [3, 4], tmp_path / "model")


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_step_that_xla_compiles_learns_the_same(tmp_path: Path, optimizer: str) -> None:
    def batches(
        epoch: int, skip: int, share: Share = WHOLE
    ) -> Iterator[tf.Tensor]:  # XLA draws other noise: so none here
        yield from (tf.cast(batch, tf.float32) + 0.5 for batch in data().batches(epoch, skip, share))

    using = TrainingData(batches, STEPS, images(50))  # type: ignore[arg-type]
    shared: dict[str, Any] = {"using": using, "epochs": 1, "optimizer": optimizer}
    graph = run(tmp_path, to="graph", **shared)
    xla = run(tmp_path, to="xla", compute=Compute("float32", "xla"), **shared)
    assert xla.holdout == pytest.approx(graph.holdout, rel=1e-4)


@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
def test_steps_that_go_together_in_one_call_are_those_one_by_one(tmp_path: Path, xla: bool) -> None:
    """Four and, of the six of an epoch, two that are left."""
    for together in (1, 4):
        stepper = Stepper(model(), settings(), seed=3, xla=xla, together=together)
        folder = tmp_path / str(together)
        outcome = train_with(stepper, data(), settings(), folder=folder, checkpoints=tmp_path / "checkpoints")
        assert outcome.steps == 4 * STEPS
    for one_by_one, in_one_call in zip(curves(tmp_path / "1"), curves(tmp_path / "4"), strict=True):
        for name, value in one_by_one.items():
            assert float(in_one_call[name]) == pytest.approx(float(value), rel=1e-3), name


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, to="whole")
    with pytest.raises(ConnectionError):
        run(tmp_path, to="resumed", using=data((1, 3)))
    newest = max((tmp_path / "checkpoints/resumed").glob("step-*"))
    tensors = next(newest.glob("tensors.data*"))
    tensors.write_bytes(tensors.read_bytes()[:-40])
    run(tmp_path, to="resumed")
    assert f"{newest}: damaged checkpoint" in caplog.text
    for a, b in zip(weights(tmp_path / "whole"), weights(tmp_path / "resumed"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_finished_runs_leave_no_checkpoints(tmp_path: Path) -> None:
    run(tmp_path)
    assert not (tmp_path / "checkpoints/model").exists()


def test_it_stops_when_the_held_out_likelihood_no_longer_improves(tmp_path: Path) -> None:
    noise = TrainingData(data().batches, STEPS, np.zeros([4, 4, 4, 1], np.uint8))  # drifts away from these
    outcome = run(tmp_path, using=noise, epochs=50, patience=2, learning_rate=0.01)
    assert "no better held-out likelihood in 2 epochs" in outcome.reason
    assert outcome.epochs < 50


def test_it_stops_when_the_time_is_over(tmp_path: Path) -> None:
    outcome = run(tmp_path, epochs=100_000, minutes=0.02, patience=100_000)
    assert outcome.reason == "1.2 seconds are over"


def test_an_interrupted_run_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        for index, batch in enumerate(data().batches(epoch, skip, share)):
            if (epoch, index) == (1, 2):
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with pytest.raises(FlowModelsError, match=r"SIGTERM at step 9 of 24: saved; run again"):
        run(tmp_path, using=TrainingData(batches, STEPS, images(50)), checkpoint_minutes=60)  # type: ignore[arg-type]
    state = json.loads((tmp_path / "checkpoints/model/step-000000009/state.json").read_text())["state"]
    assert state["step"] == 9


def test_a_step_that_is_not_finite_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    poisoned = tf.constant(np.full([32, 4, 4, 1], np.nan, np.float32))

    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        for index, batch in enumerate(data().batches(epoch, skip, share)):
            yield poisoned if (epoch, index) == (1, 2) else tf.cast(batch, tf.float32) + 0.5

    outcome = run(tmp_path, using=TrainingData(batches, STEPS, images(50)))  # type: ignore[arg-type]
    assert outcome.skipped_steps == 1
    assert [row["skipped_steps"] for row in curves(tmp_path / "model")] == ["0", "1", "1", "1"]
    assert "step 8: the loss or its gradient is not finite" in caplog.text
    assert all(np.isfinite(each).all() for each in weights(tmp_path / "model"))


def test_a_run_that_stays_non_finite_ends_with_what_to_do(tmp_path: Path) -> None:
    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        yield tf.cast(next(iter(data().batches(epoch, skip, share))), tf.float32)
        while True:
            yield tf.constant(np.full([32, 4, 4, 1], np.nan, np.float32))

    with pytest.raises(FlowModelsError, match=r"training diverged at step 10: .* lower train.learning_rate"):
        run(tmp_path, using=TrainingData(batches, STEPS, images(50)))  # type: ignore[arg-type]


def test_a_held_out_likelihood_that_is_never_finite_ends_without_a_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holdout = images(50).astype(np.float32)
    holdout[7] = np.nan
    with pytest.raises(FlowModelsError, match="the held-out likelihood was never finite"):
        run(tmp_path, using=TrainingData(data().batches, STEPS, holdout), epochs=1)
    assert "1 of 50 held-out examples have no finite loss" in caplog.text
    assert not (tmp_path / "model").exists()


def test_fewer_examples_than_a_batch_are_refused_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match=r"train.batch_size: 32 is more than"):
        run(tmp_path, using=TrainingData(data().batches, 0, images(50)))
