from pathlib import Path

from flow_models.data.changes import Change, changes
from flow_models.data.manifest import write_manifest
from flow_models.data.sources import open_source
from tests.unit.data.folders import CLASSES, write_images


def described(data: Path, name: str) -> Path:
    path = data.parent / name
    write_manifest(open_source(str(data)), path, journals=data.parent / "journals")
    return path


def test_changes_are_counted_by_class_and_what_is_as_it_was_is_not_named(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data")
    before = described(data, "before")
    assert changes(before, before) == {}
    (data / "train/cat/000.png").write_bytes(b"not an image")
    (data / "val/ball/000.png").unlink()
    (data / "val/ball/001.png").rename(data / "val/ball/moved.png")
    assert changes(before, described(data, "after")) == {
        "train/cat": Change(changed=1),
        "val/ball": Change(added=1, removed=2),
    }


def test_without_an_earlier_manifest_all_is_new(tmp_path: Path) -> None:
    newest = described(write_images(tmp_path / "data"), "newest")
    assert changes(tmp_path / "none", newest) == {name: Change(added=count) for name, count in sorted(CLASSES.items())}
