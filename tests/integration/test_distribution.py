"""Training in two processes that know each other by TF_CONFIG, as two hosts would."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.integration import training_worker
from tests.integration.servers import free_port

PATIENCE_SECONDS = 150


def start(folder: Path, index: int, addresses: list[str]) -> subprocess.Popen[str]:
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, training_worker.__file__, str(folder)],
        env={**os.environ, **threads, "TF_CONFIG": json.dumps(cluster)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def two_workers(folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    workers = [start(folder, index, addresses) for index in range(2)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the same training."""
    folder = tmp_path_factory.mktemp("alone")
    training_worker.prepare(folder)
    training_worker.main(folder)
    return folder


def columns(folder: Path) -> dict[str, list[float]]:
    rows = list(csv.DictReader((folder / "model/history.csv").open()))
    names = ("step", "train_bits_per_dim", "holdout_bits_per_dim", "learning_rate")
    return {name: [float(row[name]) for row in rows] for name in names}


def weights(folder: Path) -> np.ndarray:
    prefix = str(folder / "model/weights")
    names = [name for name, _ in tf.train.list_variables(prefix) if name.endswith("VARIABLE_VALUE")]
    return np.concatenate([tf.train.load_variable(prefix, name).ravel() for name in names])


def test_two_workers_train_as_one_process_does_also_when_one_is_killed(alone: Path, tmp_path: Path) -> None:
    shutil.copytree(alone / "shards", tmp_path / "shards")
    (tmp_path / "wait").touch()
    with two_workers(tmp_path) as (chief, other):
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
        other.kill()
        (tmp_path / "wait").unlink()
        _, message = chief.communicate(timeout=PATIENCE_SECONDS)
    assert chief.returncode == 1
    assert message.splitlines()[-1] == (
        "error: worker 0 of 2: another worker is gone; start all of them again to continue from the last checkpoint"
    )
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "checkpoints/step-000000012").is_dir()

    with two_workers(tmp_path) as workers:
        for worker in workers:
            _, message = worker.communicate(timeout=PATIENCE_SECONDS)
            assert worker.returncode == 0, message[-2000:]
    assert not (tmp_path / "checkpoints").exists()
    expected, found = columns(alone), columns(tmp_path)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(weights(tmp_path), weights(alone), atol=1e-4)
