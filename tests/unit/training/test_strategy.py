from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import tensorflow as tf

from flow_models import applications, stages
from flow_models.errors import FlowModelsError, UnavailableError
from flow_models.model import FlowModel
from flow_models.settings import Settings, TrainSettings
from flow_models.training import TrainingData, precision, strategy, train
from flow_models.training.step import Stepper
from flow_models.training.strategy import CLUSTER, Replicas, choose_replicas

BATCH, STEPS = 12, 4


def losses(replicas: Replicas) -> list[float]:
    """Of the first steps of a training on images; the start and the noise are part of it."""
    with replicas.scope():
        model = FlowModel("glow", {"image_shape": (4, 4, 1), "levels": 1, "steps": 2, "hidden_channels": 8})
    images = tf.constant(np.random.default_rng(0).integers(0, 256, [BATCH, 4, 4, 1]), tf.uint8)
    return _first_steps(Stepper(model, TrainSettings(), seed=1, replicas=replicas), images)


def losses_by_xla(replicas: Replicas) -> list[float]:
    """The same on vectors, compiled."""
    with replicas.scope():
        model = FlowModel("realnvp", {"features": 2, "layers": 2, "hidden": [8]})
    x = tf.constant(np.random.default_rng(0).standard_normal([BATCH, 2]), tf.float32)
    return _first_steps(Stepper(model, TrainSettings(), seed=1, xla=True, replicas=replicas), x)


def _first_steps(stepper: Stepper, batch: tf.Tensor) -> list[float]:
    stepper.initialise(batch)
    stepper.share()
    return [float(stepper.step(batch, tf.constant(index), tf.constant(0.01))[0]) for index in range(STEPS)]


def two_devices() -> None:
    """Print what two replicas make of it; in a process of its own, for devices are split before TensorFlow starts."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    replicas = Replicas(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    rows = tf.range(BATCH)
    seen = replicas.sum(lambda: [tf.scatter_nd(replicas.part(rows)[:, None], tf.ones(BATCH // 2, tf.int32), [BATCH])])
    found = {"losses": losses(replicas), "compiled": losses_by_xla(replicas)}
    sys.stdout.write(json.dumps({"seen": seen[0].numpy().tolist(), **found}))


def test_two_devices_share_the_batch_and_step_as_one_does() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seen"] == [1] * BATCH
    np.testing.assert_allclose(found["losses"], losses(Replicas()), rtol=1e-5)
    np.testing.assert_allclose(found["compiled"], losses_by_xla(Replicas()), rtol=1e-5)


def test_a_batch_that_the_replicas_cannot_share_is_refused(tmp_path: Path) -> None:
    three = Replicas()
    three.count = 3
    data = TrainingData(lambda *_: tf.data.Dataset.range(1), 1, np.zeros([1, 2]))
    model, settings = FlowModel("realnvp", {"features": 2, "layers": 1, "hidden": [2]}), TrainSettings(batch_size=64)
    with pytest.raises(FlowModelsError, match="64 cannot be shared by 3 replicas; use a multiple of 3"):
        train(model, data, settings, seed=0, folder=tmp_path, checkpoints=tmp_path, replicas=three)


def test_one_device_needs_no_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLUSTER, raising=False)
    replicas = choose_replicas()
    assert (replicas.count, replicas.workers, replicas.chief) == (1, 1, True)
    assert replicas.total(1.5, 2) == [1.5, 2]
    assert replicas.share_json({"step": 3}) == {"step": 3}


@pytest.mark.parametrize(
    "text",
    [
        "workers",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_cluster_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(CLUSTER, text)
    with pytest.raises(FlowModelsError, match=r"TF_CONFIG: .* such as"):
        choose_replicas()


def test_what_one_process_cannot_lose_stays_an_error_of_its_own() -> None:
    with pytest.raises(tf.errors.UnavailableError), Replicas().losses_explained():
        raise tf.errors.UnavailableError(None, None, "gone")


def test_a_worker_that_is_lost_before_the_first_step_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: object) -> None:
        raise tf.errors.UnavailableError(None, None, "connection reset")

    chief, application = Replicas(), MagicMock()
    chief.workers = 2
    application.learn.return_value.digest = "of the data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chief, "share_json", lost)
    monkeypatch.setattr(strategy, "choose_replicas", lambda: chief)
    monkeypatch.setattr(precision, "choose_compute", lambda *_, **__: precision.Compute("float32", "graph"))
    monkeypatch.setattr(applications, "find_application", lambda _: application)
    with pytest.raises(UnavailableError, match="worker 0 of 2: another worker is gone; start all of them again"):
        stages.train(Settings())


if __name__ == "__main__":
    two_devices()
