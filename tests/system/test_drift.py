"""``flow-models drift`` after a real training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow_models.data.demo import write_demo
from flow_models.data.png import encode_png
from tests.system.project import IMAGES, Project


@pytest.fixture
def watched(project: Project, tmp_path: Path) -> Project:
    """The reproduced project with its registry, which is only looked at."""
    copy = project.copy(tmp_path / "copy", registry=True)
    # With four held-out images to calibrate, an alarm has a p-value of at least 1/5.
    copy.set({"drift": {"promised_alarms": 0.3}})
    return copy


def drift(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("flow-models", "drift", "--json").text.splitlines()[-1])
    return found


def test_images_that_are_as_they_were_have_not_drifted(watched: Project) -> None:
    found = drift(watched)
    assert found["compared"] is True
    assert found["changes"] == {"added": 0, "removed": 0, "changed": 0, "share": 0.0}
    assert found["data"] == found["champion"]["data"]
    assert found["reasons"] == []
    status = json.loads(watched.run("flow-models", "status", "--json").text.splitlines()[-1])
    assert status["drift"] == {"at": found["at"], "images": found["images"], "data": found["data"], "reasons": ["none"]}


def test_more_images_of_the_same_kind_are_new_but_no_drift(watched: Project, tmp_path: Path) -> None:
    write_demo(tmp_path / "everything")
    for name in ("train/digit0", "train/digit1"):
        for image in sorted((tmp_path / "everything" / name).iterdir())[IMAGES[name] :][:40]:
            shutil.copy(image, watched.folder / "data" / name / image.name)
    found = drift(watched)
    assert found["changes"] == {
        "added": 80,
        "removed": 0,
        "changed": 0,
        "share": pytest.approx(80 / sum(IMAGES.values())),
    }
    assert {"brightness", "bits_per_dim", "latent_energy"} <= found["statistics"].keys()
    assert found["reasons"] == []
    assert found["decay"]["images"] == 80


def test_images_of_another_kind_are_drift_and_alarm_the_champion(watched: Project) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(100, 256, (8, 8), np.uint8)
        (watched.folder / f"data/train/digit0/noise{number}.png").write_bytes(encode_png(pixels))
    found = drift(watched)
    drifted = {name for name, shift in found["statistics"].items() if shift["drifted"]}
    assert {"brightness", "bits_per_dim", "latent_energy"} <= drifted
    assert "width" not in drifted
    assert found["decay"]["decayed"] is True
    assert any(reason.startswith("brightness has drifted: by +") for reason in found["reasons"])
    assert any("of 40 recent images outlying" in reason for reason in found["reasons"])
    page = (watched.folder / found["page"]).read_text()
    assert "data:image/png;base64" in page
