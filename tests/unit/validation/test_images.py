import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from flow_models.data.manifest import write_manifest
from flow_models.data.png import encode_png
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError
from flow_models.settings import ValidationSettings
from flow_models.validation import images
from flow_models.validation.expectations import expectations_on_classes, expectations_on_images
from flow_models.validation.images import Validation, validate
from flow_models.validation.profile import Profile, propose, read_profile
from flow_models.validation.quarantine import read_quarantine
from tests.unit.data.folders import write_images


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """What ``data`` is like before anything happens to it."""
    data = write_images(tmp_path_factory.mktemp("accepted") / "data")
    check(data)
    profile = read_profile(data.parent / "docs/profile.json")
    assert profile is not None
    return profile


def check(data: Path, accepted: Profile | None = None, **settings: Any) -> Validation:
    described = data.parent / "manifest.parquet"
    write_manifest(open_source(str(data)), described, journals=data.parent / "journals")
    return validate(described, ValidationSettings(**settings), docs=data.parent / "docs", accepted=accepted)


def test_good_data_pass_and_leave_data_docs_and_an_empty_quarantine(data: Path) -> None:
    assert check(data) == Validation(passed=True, errors=[], warnings=[])
    docs = data.parent / "docs"
    assert "html" in (docs / "index.html").read_text()
    (page,) = (docs / "validations/images").rglob("*.html")
    assert "max_unreadable: at most 0 % of the files may be unreadable" in page.read_text()
    assert (docs / "quarantine.csv").read_text() == "key,reason\n"
    assert len(list((docs / "validations").rglob("*.html"))) == 2


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


def twice(data: Path) -> None:
    (data / "train/dog/copy.png").write_bytes((data / "train/cat/005.png").read_bytes())


def photograph(path: Path) -> None:
    picture = Image.fromarray(load_sample_image("flower.jpg")).crop((200, 100, 328, 196))
    (picture.resize((64, 48)) if path.suffix == ".png" else picture).save(path)


def alike(data: Path) -> None:
    photograph(data / "val/cat/0.jpg")
    photograph(data / "val/cat/1.png")


def nearly_leaked(data: Path) -> None:
    photograph(data / "train/cat/0.jpg")
    photograph(data / "val/cat/1.png")


def few(data: Path) -> None:
    (data / "val/bird").mkdir()
    (data / "val/bird/0.png").write_bytes(encode_png(np.eye(9, dtype=np.uint8)))


FLAWS: list[tuple[Any, str, dict[str, Any], str]] = [
    (truncated, "max_unreadable", {}, "train/cat/003.png: truncated image; at most 0 % of the files"),
    (small, "min_side", {}, "val/cat/small.png: shorter side of 4; the shorter side must have at least 8"),
    (
        long,
        "max_side",
        {"max_aspect": 1000.0},
        "val/cat/long.png: longer side of 4100; the longer side must have at most 4096",
    ),
    (
        long,
        "max_bytes",
        {"max_bytes": 9000, "max_side": 5000, "max_aspect": 1000.0},
        "val/cat/long.png: 32876 bytes; a file must have at most 9000",
    ),
    (floating, "modes", {}, "train/dog/float.tif: pixels of mode F"),
    (blank, "max_blank", {}, "train/dog/blank.png: one single colour; at most 0 %"),
    (leaked, "leakage", {}, "val/dog/copy.png: the same image as train/cat/005.png"),
    (long, "max_aspect", {"max_side": 5000}, "val/cat/long.png: 512 times longer than wide; the longer side may be at"),
    (twice, "duplicates", {"warn_only": []}, "train/dog/copy.png: the same image as train/cat/005.png; no image may"),
    (alike, "near_duplicates", {"warn_only": []}, "val/cat/1.png: looks the same as val/cat/0.jpg; no two images"),
    (nearly_leaked, "near_leakage", {}, "val/cat/1.png: looks the same as train/cat/0.jpg; no image of val/ may look"),
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


def test_what_is_named_in_warn_only_warns_instead(data: Path) -> None:
    flaws = (truncated, small, long, floating, blank, leaked, twice, alike)
    for flaw in flaws:
        flaw(data)
    strict = check(data, warn_only=[])
    names = ["max_unreadable", "min_side", "max_side", "max_aspect", "modes", "max_blank", "leakage"]
    lenient = check(data, warn_only=[*names, "duplicates", "near_duplicates"])
    assert lenient == Validation(passed=True, errors=[], warnings=strict.errors)
    assert len(strict.errors) == 9


def brighter(data: Path) -> None:
    for path in (data / "val/ball").iterdir():
        path.write_bytes(encode_png(np.asarray(Image.open(path)) // 4 + 190))


def fewer(data: Path) -> None:
    for number in range(9):
        (data / f"train/dog/{number:03d}.png").unlink()


def gone(data: Path) -> None:
    shutil.rmtree(data / "val/ball")


def more(data: Path) -> None:
    (data / "val/dog").rename(data / "val/wolf")
    shutil.copytree(data / "val/wolf", data / "val/dog")
    for path in (data / "val/wolf").iterdir():
        path.write_bytes(encode_png(np.asarray(Image.open(path)).T))


CHANGES: list[tuple[Any, str, str]] = [
    (brighter, "max_shift", "val/ball/: moved by "),
    (fewer, "max_class_loss", "train/dog/: 25 % of the images that were accepted last; a class may lose at most 50 %"),
    (gone, "vanished_classes", "val/ball/: gone; every class that was accepted last must be there"),
    (more, "new_classes", "val/wolf/: new; every class must be among those that were accepted last"),
]


@pytest.mark.parametrize(("change", "name", "line"), CHANGES, ids=[name for _, name, _ in CHANGES])
def test_a_change_since_the_accepted_set_is_one_line(
    data: Path, accepted: Profile, change: Any, name: str, line: str
) -> None:
    change(data)
    (error,) = check(data, accepted, warn_only=[]).errors
    assert error.startswith(f"{data}/{line}")
    assert "flow-models data accept" in error


def test_a_set_that_is_as_it_was_accepted_passes_and_without_one_nothing_is_compared(
    data: Path, accepted: Profile
) -> None:
    assert check(data, accepted, warn_only=[]).passed
    for change in (brighter, fewer, more):
        change(data)
    assert check(data, None, warn_only=[]).passed


def test_every_expectation_has_a_test() -> None:
    settings = ValidationSettings()
    assert {name for _, name, *_ in FLAWS} | {name for _, name, _ in CHANGES} | {"images", "splits"} == {
        each.name for each in [*expectations_on_images(settings), *expectations_on_classes(settings)]
    }


def test_a_set_in_many_batches_is_judged_as_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for flaw in (truncated, blank, leaked, long, floating):
        flaw(data)
    whole = check(data, max_unreadable=0.03)
    before, quarantine = read_profile(data.parent / "docs/profile.json"), read_quarantine(data.parent / "docs")
    monkeypatch.setattr(images, "ROWS", 7)
    assert check(data, max_unreadable=0.03) == whole
    after = read_profile(data.parent / "docs/profile.json")
    assert before is not None
    assert after is not None
    assert read_quarantine(data.parent / "docs") == quarantine
    assert {name: each.usable for name, each in after.classes.items()} == {
        name: each.usable for name, each in before.classes.items()
    }
    assert after.classes["train/cat"].contrast.spread == pytest.approx(before.classes["train/cat"].contrast.spread)
    assert len(whole.errors) == 5
    assert len(whole.warnings) == 1


def test_what_breaks_a_bound_is_quarantined_with_all_its_reasons_and_a_copy_is_not(data: Path) -> None:
    for flaw in (long, twice, blank):
        flaw(data)
    check(data)
    assert (data.parent / "docs/quarantine.csv").read_text().splitlines() == [
        "key,reason",
        "train/dog/blank.png,one single colour",
        "val/cat/long.png,longer side of 4100; 512 times longer than wide",
    ]
    assert read_quarantine(data.parent / "docs") == ["train/dog/blank.png", "val/cat/long.png"]


def test_a_refused_image_does_not_count_for_its_class(data: Path) -> None:
    blank(data)
    for number in range(10):
        (data / f"train/dog/{number:03d}.png").unlink()
    assert check(data, max_blank=0.1, min_images_per_class=2).passed
    assert not check(data, max_blank=0.1, min_images_per_class=3).passed


def test_the_proposed_settings_accept_the_set_that_they_were_made_from(data: Path) -> None:
    for flaw in (truncated, long, blank):
        flaw(data)
    assert not check(data).passed
    profile = read_profile(data.parent / "docs/profile.json")
    assert profile is not None
    proposed = propose(profile)
    assert check(data, **proposed).passed
    assert proposed == {
        "min_images_per_class": 2,
        "min_side": 8,
        "max_side": 5200,
        "max_aspect": 650.0,
        "max_bytes": 66000,
        "max_unreadable": 0.053,
        "max_blank": 0.053,
    }


def test_data_without_val_are_refused(tmp_path: Path) -> None:
    validation = check(write_images(tmp_path / "data", {"train/cat": 3}))
    assert [error.split(";")[0] for error in validation.errors] == ["train/ and val/ must both have images"]


def test_a_tolerated_flaw_warns_and_is_quarantined(data: Path) -> None:
    truncated(data)
    validation = check(data, max_unreadable=0.1)
    assert validation.passed
    assert validation.warnings == [
        f"1 files are unreadable or blank and left out; see {data.parent / 'docs/quarantine.csv'}"
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
    (page,) = (data.parent / "docs/validations/images").rglob("*.html")
    assert '"<script>"' not in page.read_text()


def test_an_unknown_expectation_in_warn_only_is_named(data: Path) -> None:
    with pytest.raises(FlowModelsError, match="unknown expectation 'max_size'; known here: max_unreadable, modes"):
        check(data, warn_only=["max_size"])
