from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from flow_models.settings import TrainSettings
from flow_models.training import precision
from flow_models.training.precision import CACHE, Compute, choose_compute

GPU = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")


class Machine:
    """Stands for the machine: its timings, and how often they were taken."""

    def __init__(self) -> None:
        self.seconds = {"float32 graph": 2.0, "bfloat16 graph": 1.0, "float32 xla": 0.8, "bfloat16 xla": 0.5}
        self.taken: Counter[str] = Counter()

    def time(self, compute: Compute) -> float:
        name = f"{compute.precision} {compute.compile}"
        self.taken[name] += 1
        return self.seconds[name]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "_seconds_per_step", (machine := Machine()).time)
    return machine


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [GPU])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"device_name": "H100"})


def choose(run: str = "run", *, architecture: str = "glow", steps: int = 100_000, **wanted: Any) -> Compute:
    settings = TrainSettings(**wanted)
    return choose_compute(settings, architecture, steps=steps, run=Path(run))


def test_what_is_asked_for_is_taken_unmeasured(machine: Machine) -> None:
    compute = choose(precision="float32", compile="xla")
    assert (compute.dtype, compute.xla) == (tf.float32, True)
    assert not machine.taken


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_auto_takes_the_type_that_is_measured_to_be_faster(machine: Machine, faster: str) -> None:
    machine.seconds[f"{faster} graph"] = 0.1
    assert choose().precision == faster


def test_a_cpu_runs_graphs_unless_xla_is_asked_for(machine: Machine) -> None:
    assert choose() == Compute("bfloat16", "graph")
    assert choose("other", compile="xla") == Compute("bfloat16", "xla")


@pytest.mark.parametrize("architecture", ["realnvp", "spline_coupling"])
def test_a_long_training_on_vectors_is_compiled_by_xla_in_float32_unmeasured(
    machine: Machine, architecture: str
) -> None:
    assert choose("long", architecture=architecture) == Compute("float32", "xla")
    assert choose("short", architecture=architecture, steps=100) == Compute("float32", "graph")
    assert choose("hurried", architecture=architecture, minutes=0.1) == Compute("float32", "graph")
    assert choose("asked", architecture=architecture, compile="graph") == Compute("float32", "graph")
    assert choose("half", architecture=architecture, precision="bfloat16") == Compute("bfloat16", "xla")
    assert not machine.taken


def test_graphs_compute_in_the_streams_of_the_process(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "streams", lambda: 2)
    assert choose() == Compute("bfloat16", "graph", 2)
    assert choose("vectors", architecture="realnvp") == Compute("float32", "graph", 2)
    assert choose("asked", compile="xla").streams == 1
    assert set(machine.taken.values()) == {1}


@pytest.mark.usefixtures("gpu")
def test_a_gpu_runs_xla_unless_the_graph_is_measured_to_be_faster(machine: Machine) -> None:
    assert choose() == Compute("bfloat16", "xla")
    CACHE.unlink()
    machine.seconds["bfloat16 graph"] = 0.4
    assert choose("other") == Compute("bfloat16", "graph")


def test_the_choice_is_told_with_its_measure_and_how_to_override_it(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flow_models")
    choose()
    assert "bfloat16 graph, measured 2.0 times float32 graph; set train.precision or train.compile" in caplog.text


def test_a_machine_is_measured_once(machine: Machine) -> None:
    assert choose("one") == choose("two")
    assert set(machine.taken.values()) == {1}


def test_another_machine_is_measured_for_itself(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    choose("one")
    monkeypatch.setattr(precision, "cores", lambda: 1000)
    choose("two")
    assert set(machine.taken.values()) == {2}
    assert len(json.loads(CACHE.read_text())) == 2


def test_a_damaged_cache_is_measured_anew(machine: Machine) -> None:
    CACHE.parent.mkdir(parents=True)
    CACHE.write_text('{"AMD')
    assert choose() == Compute("bfloat16", "graph")
    assert json.loads(CACHE.read_text())


def test_a_run_keeps_what_it_was_started_with(machine: Machine) -> None:
    started = choose("run")
    machine.seconds["float32 graph"] = 0.1
    CACHE.unlink()
    assert choose("run") == started
    assert choose("another") == Compute("float32", "graph")


@pytest.mark.parametrize("compute", [Compute("float32", "graph"), Compute("bfloat16", "graph")])
def test_a_step_takes_some_time(compute: Compute) -> None:
    assert precision._seconds_per_step(compute) > 0


def test_the_machine_has_a_name_without_what_changes_from_start_to_start() -> None:
    assert precision._machine() == precision._machine()
    assert f"TensorFlow {tf.__version__}" in precision._machine()
