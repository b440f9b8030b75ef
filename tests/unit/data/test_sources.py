import os
from pathlib import Path

import pytest

from flow_models.data import sources
from flow_models.data.errors import UnreadableError
from flow_models.data.s3 import S3Source
from flow_models.data.sources import Content, Entry, FolderSource, open_source
from flow_models.errors import FlowModelsError


def test_a_folder_lists_its_files_and_its_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "train/cat/deep").mkdir(parents=True)
    (tmp_path / "train/dog").mkdir()
    (tmp_path / "train/cat/deep/a.png").write_bytes(b"123")
    (tmp_path / "other").mkdir()
    source = open_source(f"{tmp_path}/")
    assert source.uri == str(tmp_path)
    assert list(source.list("train/")) == [Entry("train/cat/deep/a.png", 3), Entry("train/dog/", 0)]
    assert source.read("train/cat/deep/a.png") == Content(b"123")
    assert list(source.list("val/")) == []


def test_files_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    for name in ("b/1", "b-2", "b/0", "a/z/1", "a/é", "a/Z", "b.png", "ab"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    keys = [entry.key for entry in open_source(str(tmp_path)).list()]
    assert keys == sorted(keys)
    assert len(keys) == 8


def test_the_stamp_of_a_file_changes_with_its_content_even_if_its_times_are_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert [entry.stamp for entry in open_source(str(tmp_path)).list()] == [None]  # too young to tell
    monkeypatch.setattr(sources, "RACY_SECONDS", 0)
    (before,) = open_source(str(tmp_path)).list()
    assert [before] == list(open_source(str(tmp_path)).list())
    times = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (after,) = open_source(str(tmp_path)).list()
    assert before.stamp is not None
    assert after.stamp not in {None, before.stamp}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nowhere", "nowhere: no such folder"),
        ("gs://bucket", "gs://bucket: unknown kind of source"),
        ("s3://", "s3://: names no bucket"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_clear_line(uri: str, message: str) -> None:
    with pytest.raises(FlowModelsError, match=message) as caught:
        open_source(uri)
    assert "\n" not in str(caught.value)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(FlowModelsError, match="not a folder"):
        open_source(str(tmp_path / "data"))


@pytest.mark.parametrize("key", ["../secret", "train/../../secret", "/etc/passwd"])
def test_no_key_leads_out_of_the_source(tmp_path: Path, key: str) -> None:
    for source in (FolderSource(str(tmp_path)), S3Source("s3://bucket/prefix")):
        with pytest.raises(UnreadableError, match="leads outside"):
            source.read(key)


def test_links_are_followed_and_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").write_bytes(b"1")
    data = tmp_path / "data"
    data.mkdir()
    (data / "cat").symlink_to(tmp_path / "elsewhere")
    source = open_source(str(data))
    assert [entry.key for entry in source.list()] == ["cat/a.png"]
    (tmp_path / "elsewhere/back").symlink_to(data)
    with pytest.raises(FlowModelsError, match="contains it"):
        list(source.list())


def test_a_file_that_is_gone_or_none_is_unreadable(tmp_path: Path) -> None:
    source = open_source(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nothing")
    assert sorted(entry.key for entry in source.list()) == ["dangling", "pipe"]
    for key, reason in {"pipe": "not a regular file", "dangling": "No such file", "gone": "No such file"}.items():
        with pytest.raises(UnreadableError, match=reason):
            source.read(key)


def test_a_name_outside_utf8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).touch()
    with pytest.raises(FlowModelsError, match="the name is not UTF-8"):
        list(open_source(str(tmp_path)).list())
