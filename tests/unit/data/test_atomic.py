from pathlib import Path

import pytest

from flow_models.data.atomic import complete_file, complete_folder, resumed_folder


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), complete_file(path) as unfinished:
        unfinished.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), complete_folder(folder) as unfinished:
        (unfinished / "half").write_text(f"half {1 / 0}")
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_complete_folder_replaces_the_old_one_and_what_a_killed_run_left(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    (tmp_path / ".folder.unfinished").mkdir()
    (tmp_path / ".folder.unfinished" / "left").touch()
    with complete_folder(folder) as unfinished:
        (unfinished / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_resumed_folder_goes_on_with_what_was_there_and_is_complete_only_at_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), resumed_folder(folder) as unfinished:
        assert (unfinished / "half").write_text("half") / 0
    assert not folder.exists()
    with resumed_folder(folder) as unfinished:
        (unfinished / "new").touch()
    assert sorted(path.name for path in folder.iterdir()) == ["half", "new"]
