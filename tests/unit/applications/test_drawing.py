from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flow_models.applications import drawing
from flow_models.applications.drawing import read_observations, write_posterior, write_samples
from flow_models.applications.interpolating import write_interpolation
from flow_models.errors import FlowModelsError
from flow_models.evaluation.novelty import Seen
from flow_models.model import FlowModel

GLOW = {"image_shape": (4, 4, 1), "levels": 1, "steps": 1, "hidden_channels": 4}
VECTORS = {"features": 3, "layers": 2, "hidden": [8]}
CLASSES = {"kind": "class_means", "y": 2, "shares": [0.5, 0.5]}


@pytest.fixture
def conditional() -> FlowModel:
    seen = Seen.of(np.random.default_rng(0).normal(size=(500, 2)))
    about = {"x": ["a", "b", "c"], "y": ["up", "down"], "seen": seen.to_json()}
    return FlowModel("realnvp", {**VECTORS, "context_width": 2}, about=about)


def sampled(model: FlowModel, folder: Path, **options: Any) -> list[str]:
    return write_samples(model, folder, **{"number": 5, "temperature": 0.7, "seed": 3, **options})


def test_images_are_files_that_name_their_seed_beside_a_contact_sheet(tmp_path: Path) -> None:
    files = sampled(FlowModel("glow", GLOW), tmp_path / "drawn")
    assert files == ["00000.png", "00001.png", "00002.png", "00003.png", "00004.png", "contact_sheet.png"]
    image = Image.open(tmp_path / "drawn/00002.png")
    assert (image.size, image.text["seed"], image.text["temperature"]) == ((4, 4), "3", "0.7")


def test_batches_make_no_difference_to_names_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "BATCH", 2)
    files = sampled(FlowModel("glow", GLOW), tmp_path / "drawn")
    assert files == ["00000.png", "00001.png", "00002.png", "00003.png", "00004.png", "contact_sheet.png"]
    monkeypatch.setattr(drawing, "ROWS", 2)
    sampled(FlowModel("realnvp", VECTORS), tmp_path / "drawn")
    assert pd.read_csv(tmp_path / "drawn/samples.csv").shape == (5, 3)


def test_truncation_bounds_the_latents_and_is_named_in_the_files(tmp_path: Path) -> None:
    model = FlowModel("glow", GLOW)
    z = np.asarray(model.encode(model.sample(500, seed=1, truncation=0.5)))
    assert 0.49 < np.abs(z).max() < 0.501
    assert abs(z.mean()) < 0.02
    sampled(model, tmp_path / "drawn", truncation=0.5)
    assert Image.open(tmp_path / "drawn/00000.png").text["truncation"] == "0.5"


@pytest.mark.parametrize("linear", [False, True])
def test_an_interpolation_begins_and_ends_with_its_images(linear: bool, tmp_path: Path) -> None:
    ends = np.random.default_rng(0).integers(0, 256, (2, 4, 4), np.uint8)
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, image in zip(paths, ends, strict=True):
        Image.fromarray(image).save(path)
    done = write_interpolation(FlowModel("glow", GLOW), paths, tmp_path / "between", steps=4, linear=linear)
    assert done.reconstruction_error < 1e-5
    written = [np.asarray(Image.open(tmp_path / f"between/{index:05d}.png")) for index in range(4)]
    np.testing.assert_array_equal([written[0], written[-1]], ends)
    assert len(list((tmp_path / "between").iterdir())) == 5


def test_what_cannot_be_interpolated_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    for name, message in (("a.png", "not an image"), ("b.png", "no such file")):
        with pytest.raises(FlowModelsError, match=f"{name}: {message}"):
            write_interpolation(FlowModel("glow", GLOW), (tmp_path / name, tmp_path / name), tmp_path / "to", steps=2)
    with pytest.raises(FlowModelsError, match="of vectors"):
        write_interpolation(FlowModel("realnvp", VECTORS), (tmp_path / "a.png",) * 2, tmp_path / "to", steps=2)


def test_vectors_are_a_table_with_their_classes_in_turn(tmp_path: Path) -> None:
    about = {"x": ["a", "b", "c"], "classes": ["low", "high"]}
    model = FlowModel("realnvp", VECTORS, base=CLASSES, about=about)
    sampled(model, tmp_path / "drawn")
    table = pd.read_csv(tmp_path / "drawn/samples.csv")
    assert list(table) == ["a", "b", "c", "class"]
    assert list(table["class"]) == ["low", "high", "low", "high", "low"]
    sampled(model, tmp_path / "drawn", label="high")
    assert set(pd.read_csv(tmp_path / "drawn/samples.csv")["class"]) == {"high"}


def test_an_unknown_class_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    model = FlowModel("realnvp", VECTORS, base=CLASSES, about={"x": list("abc"), "classes": ["low", "high"]})
    with pytest.raises(FlowModelsError, match="--label middle: no such class; known: low, high"):
        sampled(model, tmp_path / "drawn", label="middle")
    with pytest.raises(FlowModelsError, match="trained without classes"):
        sampled(FlowModel("realnvp", VECTORS), tmp_path / "drawn", label="low")


def test_a_model_that_needs_an_observation_says_which_command_draws_from_it(
    conditional: FlowModel, tmp_path: Path
) -> None:
    with pytest.raises(FlowModelsError, match="`flow-models posterior` draws from it"):
        sampled(conditional, tmp_path / "drawn")
    with pytest.raises(FlowModelsError, match="`flow-models sample` draws from it"):
        write_posterior(FlowModel("realnvp", VECTORS), Path("y.csv"), tmp_path / "x.csv", number=2, seed=0)


def test_a_posterior_has_a_row_a_draw_and_a_summary_a_parameter(conditional: FlowModel, tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("down,up\n0.1,0.2\n0.3,0.4\n")
    summary = write_posterior(conditional, tmp_path / "y.csv", tmp_path / "x.parquet", number=7, seed=0)
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert list(table) == ["observation", "a", "b", "c"]
    assert list(table["observation"]) == [0] * 7 + [1] * 7
    assert summary.loc[1, ("b", "mean")] == pytest.approx(table["b"][7:].mean(), rel=1e-5)


def test_an_observation_outside_all_training_is_warned_of_with_how_far(
    conditional: FlowModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "y.npy", [[0.0, 0.0], [0.0, 40.0]])
    with caplog.at_level(logging.WARNING):
        write_posterior(conditional, tmp_path / "y.npy", tmp_path / "x.csv", number=2, seed=0)
    (warning,) = caplog.messages
    assert "observation 1" in warning
    assert "down is 40" in warning


def test_named_columns_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("b,extra,a\n2,9,1\n")
    np.testing.assert_array_equal(read_observations(tmp_path / "y.csv", names=["a", "b"]), [[1, 2]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\n1\n", "1 columns, but the model observes 2: a, b"),
        ("a,b\n1,nan\n", "row 0, b is not finite"),
        ("a,b\n1,x\n", "not a table of numbers"),
        (None, "no such file"),
    ],
)
def test_observations_that_are_none_are_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "y.csv").write_text(content)
    with pytest.raises(FlowModelsError, match=message):
        read_observations(tmp_path / "y.csv", names=["a", "b"])
