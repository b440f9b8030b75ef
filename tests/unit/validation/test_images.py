from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flow_models.data.manifest import build_manifest
from flow_models.data.png import encode_png
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError
from flow_models.settings import ValidationSettings
from flow_models.validation.expectations import expectations
from flow_models.validation.images import Validation, validate
from tests.unit.data.folders import write_images


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


def check(data: Path, **settings: Any) -> Validation:
    manifest = build_manifest(open_source(str(data)), progress=False)
    return validate(manifest, ValidationSettings(**settings), docs=data.parent / "docs")


def test_good_data_pass_and_leave_data_docs_and_an_empty_quarantine(data: Path) -> None:
    assert check(data) == Validation(passed=True, errors=[], warnings=[])
    docs = data.parent / "docs"
    assert "html" in (docs / "index.html").read_text()
    (page,) = (docs / "validations").rglob("*.html")
    assert "max_unreadable: at most 0 % of the files may be unreadable" in page.read_text()
    assert (docs / "quarantine.csv").read_text() == "key,reason\n"


def truncated(data: Path) -> None:
    path = data / "train/cat/003.png"
    path.write_bytes(path.read_bytes()[:60])


def small(data: Path) -> None:
    (data / "val/cat/small.png").write_bytes(encode_png(np.eye(4, dtype=np.uint8)))


def long(data: Path) -> None:
    (data / "val/cat/long.png").write_bytes(encode_png(np.arange(4100 * 8).reshape(8, 4100).astype(np.uint8)))


def floating(data: Path) -> None:
    Image.effect_noise((16, 16), 50).convert("F").save(data / "train/dog/float.tif")


def blank(data: Path) -> None:
    (data / "train/dog/blank.png").write_bytes(encode_png(np.full((8, 8), 9, np.uint8)))


def leaked(data: Path) -> None:
    (data / "val/dog/copy.png").write_bytes((data / "train/cat/005.png").read_bytes())


def few(data: Path) -> None:
    (data / "val/bird").mkdir()
    (data / "val/bird/0.png").write_bytes(encode_png(np.eye(9, dtype=np.uint8)))


FLAWS: list[tuple[Any, str, dict[str, Any], str]] = [
    (truncated, "max_unreadable", {}, "train/cat/003.png: truncated image; at most 0 % of the files"),
    (small, "min_side", {}, "val/cat/small.png: shorter side of 4; the shorter side must have at least 8"),
    (long, "max_side", {}, "val/cat/long.png: longer side of 4100; the longer side must have at most 4096"),
    (
        long,
        "max_bytes",
        {"max_bytes": 9000, "max_side": 5000},
        "val/cat/long.png: 32876 bytes; a file must have at most 9000",
    ),
    (floating, "modes", {}, "train/dog/float.tif: pixels of mode F"),
    (blank, "max_blank", {}, "train/dog/blank.png: one single colour; at most 0 %"),
    (leaked, "leakage", {}, "val/dog/copy.png: the same image as train/cat/005.png"),
    (few, "min_images_per_class", {"min_images_per_class": 4}, "val/bird/: 1 usable; every class must have at least 4"),
]


@pytest.mark.parametrize(("flaw", "name", "settings", "line"), FLAWS, ids=[name for _, name, *_ in FLAWS])
def test_a_flaw_is_one_line_that_names_the_file_and_the_remedy(
    data: Path, flaw: Any, name: str, settings: dict[str, Any], line: str
) -> None:
    flaw(data)
    validation = check(data, **settings)
    (error,) = validation.errors
    assert error.startswith(f"{data}/{line}")
    assert "\n" not in error
    assert not validation.passed
    demoted = check(data, **settings, warn_only=[name])
    assert demoted == Validation(passed=True, errors=[], warnings=[error])


def test_every_expectation_has_a_test() -> None:
    assert {name for _, name, *_ in FLAWS} | {"images", "splits"} == {
        each.name for each in expectations(ValidationSettings())
    }


def test_data_without_val_are_refused(tmp_path: Path) -> None:
    validation = check(write_images(tmp_path / "data", {"train/cat": 3}))
    assert [error.split(";")[0] for error in validation.errors] == ["train/ and val/ must both have images"]


def test_a_table_without_rows_is_refused(tmp_path: Path, data: Path) -> None:
    nothing: pd.DataFrame = build_manifest(open_source(str(data)), progress=False)[:0]
    validation = validate(nothing, ValidationSettings(), docs=tmp_path / "docs")
    assert validation.errors[0].startswith("there must be images")


def test_a_tolerated_flaw_warns_and_is_quarantined(data: Path) -> None:
    truncated(data)
    validation = check(data, max_unreadable=0.1)
    assert validation.passed
    assert validation.warnings == [
        f"1 of 36 files are unreadable and left out; see {data.parent / 'docs/quarantine.csv'}"
    ]
    assert (data.parent / "docs/quarantine.csv").read_text() == "key,reason\ntrain/cat/003.png,truncated image\n"


def test_exactly_the_tolerated_share_passes(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", {"train/cat": 6, "val/cat": 4})
    for number in range(3):
        (data / f"train/cat/00{number}.png").write_bytes(b"")
    assert check(data, max_unreadable=0.3).passed
    assert not check(data, max_unreadable=0.29).passed


def test_leakage_can_be_allowed(data: Path) -> None:
    leaked(data)
    assert check(data, allow_leakage=True) == Validation(passed=True, errors=[], warnings=[])


def test_many_offenders_are_counted_not_listed(data: Path) -> None:
    for number in range(30):
        (data / f"train/cat/bad{number:02d}.png").write_bytes(b"<script>")
    (error,) = check(data).errors
    assert error.count("not an image") == 3
    assert " and 27 more; " in error


def test_the_data_docs_do_not_run_what_a_file_contains(data: Path) -> None:
    (data / "train/cat/bad.png").write_bytes(b"<script>")
    (error,) = check(data).errors
    assert 'not an image (starts with "<script>")' in error
    (page,) = (data.parent / "docs/validations").rglob("*.html")
    assert '"<script>"' not in page.read_text()


def test_an_unknown_expectation_in_warn_only_is_named(data: Path) -> None:
    with pytest.raises(FlowModelsError, match="unknown expectation 'max_size'; known here: images, splits"):
        check(data, warn_only=["max_size"])
