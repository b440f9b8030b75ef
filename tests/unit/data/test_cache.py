from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from flow_models.data.cache import Cache


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kept(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "objects").rglob("*") if path.is_file())


def test_what_was_put_is_got_by_its_hash_and_nothing_else_is(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=100)
    cache.put(sha256(b"one"), b"one")
    assert cache.get(sha256(b"one")) == b"one"
    assert cache.get(sha256(b"two")) is None


def test_a_damaged_object_is_dropped_and_downloaded_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=100)
    cache.put(sha256(b"one"), b"one")
    (path,) = (path for path in (tmp_path / "objects").rglob("*") if path.is_file())
    path.write_bytes(b"onE")
    assert cache.fetch(sha256(b"one"), lambda: b"one") == b"one"
    assert kept(tmp_path) == [b"one"]


def test_a_file_that_is_asked_for_by_its_path_is_whole(tmp_path: Path) -> None:
    cache, downloads = Cache(tmp_path, limit=100), []
    for damage in (b"one", b"onE", b""):
        path = cache.path(sha256(b"one"), lambda damage=damage: downloads.append(damage) or b"one")
        assert path.read_bytes() == b"one"
        path.write_bytes(damage)
    assert cache.path(sha256(b"one"), lambda: b"one").read_bytes() == b"one"
    assert downloads == [b"one", b""]


def test_what_is_not_what_was_asked_for_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=100)
    assert cache.fetch(sha256(b"one"), lambda: b"flipped") == b"flipped"
    assert kept(tmp_path) == []


def test_the_least_recently_used_go_first_and_the_limit_holds(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=100)
    contents = [bytes([number]) * 20 for number in range(6)]
    for number, content in enumerate(contents[:5]):
        cache.put(sha256(content), content)
        os.utime(tmp_path / "objects" / sha256(content)[:2] / sha256(content), (number, number))
    assert cache.get(sha256(contents[0])) == contents[0]
    cache.put(sha256(contents[5]), contents[5])
    assert kept(tmp_path) == sorted([contents[0], contents[3], contents[4], contents[5]])
    cache.put(sha256(b"x" * 101), b"x" * 101)
    assert len(kept(tmp_path)) == 4


def test_a_new_process_counts_what_others_left(tmp_path: Path) -> None:
    for number in range(10):
        cache = Cache(tmp_path, limit=100)
        cache.put(sha256(bytes([number]) * 30), bytes([number]) * 30)
    assert len(kept(tmp_path)) == 3


def test_of_many_who_want_an_object_one_downloads_it(tmp_path: Path) -> None:
    downloads: list[int] = []
    together = threading.Barrier(8)

    def want(number: int) -> bytes:
        together.wait()
        return Cache(tmp_path, limit=100).fetch(sha256(b"one"), lambda: downloads.append(number) or b"one")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(want, range(8))) == {b"one"}
    assert len(downloads) == 1


def _write_for_ever(folder: Path, content: bytes) -> None:
    while True:
        Cache(folder, limit=10**9).put(sha256(content), content)
        (folder / "objects" / sha256(content)[:2] / sha256(content)).unlink(missing_ok=True)


def test_an_object_whose_writer_is_killed_is_whole_or_not_there(tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    for _ in range(5):
        writer = get_context("fork").Process(target=_write_for_ever, args=(tmp_path, content))
        writer.start()
        writer.join(0.05)
        writer.kill()
        writer.join()
        assert Cache(tmp_path, limit=10**9).get(sha256(content)) in {None, content}


def test_a_disk_that_cannot_be_written_ends_the_keeping_and_not_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "objects").touch()
    cache = Cache(tmp_path, limit=100)
    for content in (b"one", b"two"):
        assert cache.fetch(sha256(content), lambda content=content: content) == content
    assert len(caplog.records) == 1
    assert "what is downloaded is not kept" in caplog.text
