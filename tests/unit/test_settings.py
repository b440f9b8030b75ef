from __future__ import annotations

from pathlib import Path

import pytest

from flow_models.errors import FlowModelsError
from flow_models.settings import Settings, TrainSettings, fingerprint, load_settings

PROJECT = Path(__file__).parents[2]


def loaded(tmp_path: Path, content: str) -> Settings:
    (tmp_path / "params.yaml").write_text(content)
    return load_settings(tmp_path / "params.yaml")


def test_the_projects_own_file_is_valid() -> None:
    assert load_settings(PROJECT / "params.yaml").application == "image_anomaly"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train: {epoch: 3}", "train.epoch: unknown key; did you mean epochs?"),
        ("trian: {epochs: 3}", "trian: unknown key; did you mean train?"),
        ("data: {zzz: 3}", "data.zzz: unknown key; known here: source, s3"),
        ("register: {gate: {bits_per_dim: {mx: 3}}}", "register.gate.bits_per_dim.mx: unknown key; did you mean max?"),
        ("train: {epochs: many}", "train.epochs: Input should be a valid integer (found 'many')"),
        ("train: {epochs: 1.5}", "train.epochs"),
        ("train: {epochs: 0}", "train.epochs: Input should be greater than or equal to 1 (found 0)"),
        ("train: {precision: float16}", "train.precision"),
        ("train: {weight_decay: 0.1}", "train: weight_decay is 0.1, which optimizer adam lacks; use adamw or muon"),
        ("train: {decay: linear}", "train.decay"),
        ("data: {channels: 2}", "data.channels"),
        ("data: {shard_megabytes: 2000}", "data.shard_megabytes: Input should be less than or equal to 1024"),
        ("data: {height: 30}", "data.height is 30, which model.levels = 2 cannot halve 2 times; use a multiple of 4"),
        ("register: {gate: {bits_per_dim: {}}}", "needs min, max or both"),
        ("- a\n- b", "holds list, not a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FlowModelsError) as error:
        loaded(tmp_path, content)
    assert message in str(error.value)
    assert "params.yaml: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match="no such file"):
        load_settings(tmp_path / "params.yaml")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainSettings().epochs = 3  # type: ignore[misc]


def test_the_fingerprint_changes_with_any_setting_and_only_then() -> None:
    one = fingerprint(TrainSettings(), "data", 0)
    assert one == fingerprint(TrainSettings(), "data", 0)
    assert len({one, fingerprint(TrainSettings(epochs=3), "data", 0), fingerprint(TrainSettings(), "other", 0)}) == 3
