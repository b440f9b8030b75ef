import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flow_models.data.demo import write_demo
from flow_models.errors import FlowModelsError

DIGEST = "6e85cd7f30ab308ac0ad91755e3376582833d55918b64fbc5c5e162cd09dae8c"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    write_demo(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_it_is_byte_for_byte_what_it_is_everywhere(demo: Path) -> None:
    digest = hashlib.sha256()
    for path, content in sorted(contents(demo).items()):
        digest.update(path.encode() + b"\0" + content)
    assert digest.hexdigest() == DIGEST


def test_digits_are_split_and_the_outliers_are_as_many(demo: Path) -> None:
    count = Counter(path.rsplit("/", 1)[0] for path in contents(demo))
    digits = [f"digit{number}" for number in range(10)]
    train, val = (sum(count[f"{split}/{digit}"] for digit in digits) for split in ("train", "val"))
    assert set(count) == {f"{split}/{digit}" for split in ("train", "val") for digit in digits} | {
        "val/photograph",
        "val/jigsaw",
    }
    assert val / (train + val) == pytest.approx(0.2, abs=0.01)
    assert count["val/photograph"] == pytest.approx(360, abs=10)
    assert count["val/jigsaw"] == pytest.approx(val, abs=10)


def test_no_image_occurs_twice_or_is_blank(demo: Path) -> None:
    images = contents(demo).values()
    assert len(set(images)) == len(images)
    assert all(pixels.min() < pixels.max() for pixels in map(np.asarray, map(Image.open, demo.rglob("*.png"))))


def test_every_set_has_the_grey_levels_of_the_digits(demo: Path) -> None:
    levels = {level * 255 // 16 for level in range(17)}
    for path in demo.rglob("*.png"):
        assert set(np.unique(np.asarray(Image.open(path))).tolist()) <= levels


def test_writing_it_again_changes_nothing(demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*.png")}
    assert write_demo(demo) == len(before)
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*.png")} == before


def test_what_is_missing_is_completed(tmp_path: Path) -> None:
    total = write_demo(tmp_path / "data")
    (tmp_path / "data/val/digit3/0004.png").unlink()
    write_demo(tmp_path / "data")
    assert len(contents(tmp_path / "data")) == total


@pytest.mark.parametrize("name", ["mine.jpg", "val/digit3/0004.png"])
def test_a_folder_with_other_content_is_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(FlowModelsError, match=f"{name}: not part of the demonstration data"):
        write_demo(tmp_path)
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"mine"]
