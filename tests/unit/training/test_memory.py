from __future__ import annotations

import logging
from pathlib import Path

import pytest
import tensorflow as tf

from flow_models.architectures import activation_bytes
from flow_models.training import memory

GLOW = {"image_shape": (64, 64, 3), "levels": 3, "steps": 8, "hidden_channels": 64, "compute_dtype": tf.float32}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def chosen(wanted: memory.Reversible = "auto", *, architecture: str = "glow", run: str = "run") -> bool:
    return memory.choose_reversible(wanted, architecture, GLOW, batch_size=64, run=Path(run))


@pytest.mark.parametrize(("free", "reversible", "said"), [(2**40, False, "kept"), (2**28, True, "recomputed")])
def test_auto_recomputes_when_the_activations_do_not_fit_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, free: int, reversible: bool, said: str
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    with caplog.at_level(logging.INFO, "flow_models"):
        assert chosen() is reversible
    assert said in caplog.text


def test_a_run_goes_on_as_it_was_started_whatever_is_free_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**28)
    assert chosen() is True
    monkeypatch.setattr(memory, "free_bytes", lambda: 2**40)
    assert chosen() is True
    assert chosen(run="another") is False


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_asked_for_is_taken(wanted: bool) -> None:
    assert chosen(wanted) is wanted


def test_vectors_keep_their_few_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    assert chosen(architecture="realnvp") is False


def test_activations_grow_with_steps_pixels_and_the_width_of_the_type() -> None:
    one = activation_bytes("glow", **GLOW)
    assert activation_bytes("glow", **GLOW | {"steps": 16}) == pytest.approx(2 * one)
    assert activation_bytes("glow", **GLOW | {"image_shape": (128, 64, 3)}) == pytest.approx(2 * one)
    assert 0.5 * one < activation_bytes("glow", **GLOW | {"compute_dtype": tf.bfloat16}) < one


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    assert memory._left_in_container(tmp_path) == float("inf")
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._left_in_container(tmp_path) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_in_container(tmp_path) == float("inf")


def test_this_machine_has_some_memory_free() -> None:
    assert memory.free_bytes() > 2**20
