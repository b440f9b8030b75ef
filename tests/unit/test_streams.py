from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flow_models import streams
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.streams import MOST, THREADS, in_streams, mean_in_streams, use_streams
from flow_models.training.step import Stepper

GLOW = {"image_shape": (8, 8, 3), "levels": 2, "steps": 2, "hidden_channels": 8}
IMAGES = np.random.default_rng(0).integers(256, size=(12, 8, 8, 3), dtype=np.uint8)


class Threads:
    """Stands for TensorFlow's threads, which a process can set only before it computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of_an_operation = self.of_operations = 0
        monkeypatch.delenv(THREADS, raising=False)
        monkeypatch.setattr(streams, "cores", lambda: 2)
        for name in ("get_intra_op", "set_intra_op", "get_inter_op", "set_inter_op"):
            monkeypatch.setattr(tf.config.threading, f"{name}_parallelism_threads", getattr(self, name))

    def get_intra_op(self) -> int:
        return self.of_an_operation

    def set_intra_op(self, count: int) -> None:
        self.of_an_operation = count

    def get_inter_op(self) -> int:
        return self.of_operations

    def set_inter_op(self, count: int) -> None:
        self.of_operations = count


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    return Threads(monkeypatch)


def test_there_is_one_stream_unless_they_are_asked_for(threads: Threads) -> None:
    assert streams.streams() == 1
    use_streams()
    assert (streams.streams(), threads.of_an_operation) == (2, 1)


@pytest.mark.parametrize("cores", [1, MOST + 1])
def test_one_core_or_many_stay_with_the_threads_of_tensorflow(
    threads: Threads, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(streams, "cores", lambda: cores)
    use_streams()
    assert threads.of_an_operation == 0


def test_a_gpu_needs_no_streams(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["a GPU"])
    use_streams()
    assert threads.of_an_operation == 0


def test_threads_that_the_user_set_stay(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "2")
    use_streams()
    assert threads.of_an_operation == 0


@pytest.mark.parametrize("rows", [0, 1, 5, 8])
@pytest.mark.parametrize("count", [2, 3])
def test_any_number_of_rows_comes_out_as_it_would_in_one_stream(threads: Threads, rows: int, count: int) -> None:
    threads.of_an_operation, threads.of_operations = 1, count
    x, y = tf.random.normal([rows, 4]), tf.random.normal([rows, 2])
    computed = tf.function(in_streams(lambda x, y=None: tf.concat([x, 2 * y], axis=-1)))(x, y)
    np.testing.assert_array_equal(computed, tf.concat([x, 2 * y], axis=-1))


@pytest.mark.parametrize(("count", "pieces"), [(1, 1), (2, 2), (3, 3), (5, 1), (8, 4)])
def test_a_batch_is_cut_into_equal_pieces_or_fewer(count: int, pieces: int) -> None:
    x, seen = tf.reshape(tf.range(24.0), [12, 2]), []

    def mean(own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seen.append(own.shape[0] or 12 // pieces)
        return tf.reduce_mean(own), tf.reduce_mean(own, axis=0)

    total, columns = mean_in_streams(mean, [x], count=count)
    assert float(total) == pytest.approx(11.5)
    np.testing.assert_allclose(columns, [11, 12])
    assert set(seen) == {12 // pieces}


@pytest.mark.parametrize(("reversible", "noise"), [(False, 0), (True, 0), (False, 8)])
def test_steps_in_streams_are_those_of_one_to_rounding(reversible: bool, noise: int) -> None:
    def losses(count: int) -> list[float]:
        model = FlowModel("glow", {**GLOW, "noise_channels": noise}, reversible=reversible)
        stepper = Stepper(model, TrainSettings(), seed=0, streams=count)
        stepper.initialise(tf.constant(IMAGES))
        return [float(stepper.step(tf.constant(IMAGES), tf.constant(i), tf.constant(1e-2))[0]) for i in range(5)]

    one, two = losses(1), losses(2)
    assert one[-1] < one[0] - 0.01
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_a_density_in_streams_is_that_of_one(threads: Threads) -> None:
    x = tf.constant(IMAGES[:5], tf.float32)
    expected = FlowModel("glow", GLOW).log_prob(x)
    use_streams()
    np.testing.assert_allclose(FlowModel("glow", GLOW).log_prob(x), expected, rtol=1e-5)
