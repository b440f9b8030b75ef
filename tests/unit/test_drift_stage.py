from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from flow_models.drift_stage import RESULT, compare, drift
from flow_models.errors import FlowModelsError
from flow_models.settings import load_settings
from tests.unit.data.folders import write_images


def manifest(*rows: tuple[str, str | None]) -> pd.DataFrame:
    """Keys and contents; what has no content could not be read."""
    split, class_ = zip(*[key.split("/")[:2] for key, _ in rows], strict=True)
    return pd.DataFrame(
        {
            "key": [key for key, _ in rows],
            "split": split,
            "class": class_,
            "sha256": [content for _, content in rows],
            "error": [None if content else "truncated image" for _, content in rows],
        }
    )


def test_recent_is_what_came_or_changed_and_held_out_what_stayed_in_the_normal_classes_of_val() -> None:
    then = manifest(
        ("train/cat/1", "a"), ("train/cat/2", "b"), ("val/cat/3", "c"), ("val/cat/4", "d"), ("val/dog/5", "e")
    )
    now = manifest(
        ("train/cat/1", "a"),
        ("train/cat/2", "B"),
        ("train/cat/6", "f"),
        ("train/cat/7", None),
        ("val/cat/3", "c"),
        ("val/cat/8", "g"),
        ("val/dog/5", "e"),
    )
    sides = compare(then, now, inliers=[])
    assert list(sides.reference["key"]) == ["train/cat/1", "train/cat/2"]
    assert list(sides.recent["key"]) == ["train/cat/2", "train/cat/6"]
    assert list(sides.held_out["key"]) == ["val/cat/3"]
    assert (sides.added, sides.removed, sides.changed) == (3, 1, 1)
    assert list(compare(then, now, inliers=["dog"]).held_out["key"]) == ["val/dog/5"]


def test_without_a_champion_there_is_nothing_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_images(tmp_path / "data")
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    found = drift(load_settings())
    assert (found["compared"], found["reasons"], found["images"]) == (False, ["there is no champion"], 36)
    assert json.loads(RESULT.read_text()) == found
    assert not (tmp_path / "mlflow.db").exists()


def test_an_application_without_images_has_no_drift_to_measure() -> None:
    with pytest.raises(FlowModelsError, match="learns from no images"):
        drift(load_settings(Path(__file__).parents[2] / "params.yaml", application="vector_classification"))
