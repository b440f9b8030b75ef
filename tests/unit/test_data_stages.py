"""The stages before training, on a folder of images and in a working directory of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flow_models import data_stages
from flow_models.errors import FlowModelsError
from flow_models.settings import ACCEPTED, SHARDS, Settings, load_settings
from tests.unit.data.folders import write_images

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of this project; the images are in ``data``."""
    write_images(tmp_path / "data", {"train/cat": 40, "train/dog": 40, "val/cat": 20, "val/dog": 20})
    monkeypatch.chdir(tmp_path)
    return load_settings(PARAMS, application="image_anomaly")


def test_a_fresh_clone_compares_with_the_set_that_was_accepted(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_stages.validate(settings)
    clone = tmp_path / "clone"
    shutil.copytree("data", clone / "data", ignore=shutil.ignore_patterns("dog"))
    shutil.copy(ACCEPTED, clone)
    monkeypatch.chdir(clone)
    with pytest.raises(FlowModelsError, match="train/dog"):
        data_stages.validate(settings)
    ACCEPTED.unlink()
    assert data_stages.validate(settings).images == 60


def test_shards_whose_images_are_the_same_are_kept_though_dvc_empties_their_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_stages.validate(settings)
    index = data_stages.prepare(settings)
    before = {path.name: path.read_bytes() for path in SHARDS.iterdir()}
    shutil.rmtree(SHARDS)
    monkeypatch.setattr("flow_models.data.packing._write", None)
    assert data_stages.prepare(settings) == index
    assert {path.name: path.read_bytes() for path in SHARDS.iterdir()} == before


def test_the_run_cache_can_give_back_every_stage() -> None:
    # DVC keeps no runs of a stage one of whose outputs persists.
    assert "persist" not in (PARAMS.parent / "dvc.yaml").read_text()
