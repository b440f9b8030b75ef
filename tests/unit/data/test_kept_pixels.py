"""Pixels that were kept are those that decoding gives, or they are not there."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flow_models.data import kept_pixels, packing
from flow_models.data.cache import Cache
from flow_models.data.describe import describe_all, describing_code
from flow_models.data.images import decode
from flow_models.data.kept_pixels import KeptPixels
from flow_models.data.manifest import read_manifest, write_manifest
from flow_models.data.shards import write_shards
from flow_models.data.sources import FolderSource
from flow_models.errors import FlowModelsError
from tests.unit.data.folders import write_images

SHAPE = (5, 4, 3)
OPTIONS = {"holdout": 0.25, "seed": 0, "inliers": [], "megabytes": 1}


def sha256(number: int) -> str:
    return hashlib.sha256(f"{number}".encode()).hexdigest()


def image(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)


def kept_in(folder: Path, *, limit: int = 10**6) -> KeptPixels:
    return KeptPixels(Cache(folder, limit=limit), SHAPE)


def keep(kept: KeptPixels, numbers: range) -> None:
    with kept.keeping() as put:
        for number in numbers:
            put(sha256(number), image(number))


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.pixels"))


def test_what_is_kept_is_got_by_whoever_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_pixels, "_FILE_BYTES", 300)
    one = kept_in(tmp_path)
    one.look()
    keep(one, range(10))
    assert not one.holds(sha256(0))
    assert len(files(tmp_path)) == 3
    for kept in (one, kept_in(tmp_path), ForkingPickler.loads(ForkingPickler.dumps(one))):
        kept.look()
        for number in range(10):
            assert kept.holds(sha256(number))
            np.testing.assert_array_equal(kept.get(sha256(number)), image(number))
        assert kept.get(sha256(10)) is None


def test_another_shape_is_kept_apart(tmp_path: Path) -> None:
    keep(kept_in(tmp_path), range(1))
    other = KeptPixels(Cache(tmp_path, limit=10**6), (4, 5, 3))
    other.look()
    assert not other.holds(sha256(0))


def test_what_is_damaged_or_made_room_is_not_there(tmp_path: Path) -> None:
    keep(kept_in(tmp_path), range(3))
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[70] ^= 1  # in the second
    path.write_bytes(content)
    kept = kept_in(tmp_path)
    kept.look()
    assert [kept.get(sha256(number)) is None for number in range(3)] == [False, True, False]
    for spoilt in (content[:-1], content[:50], b""):
        path.write_bytes(spoilt)
        kept = kept_in(tmp_path)
        kept.look()
        assert all(kept.get(sha256(number)) is None for number in range(3))
    keep(kept, range(3, 5))
    kept.look()
    for path in files(tmp_path):
        path.unlink()
    assert kept.get(sha256(3)) is None


def test_they_make_room_with_all_else_that_is_cached(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=500)
    for start in range(0, 20, 2):
        keep(KeptPixels(cache, SHAPE), range(start, start + 2))
        cache.put(hashlib.sha256(b"x" * start).hexdigest(), b"x" * start)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 500
    assert 0 < len(files(tmp_path)) < 3


def test_nothing_is_kept_of_work_that_failed(tmp_path: Path) -> None:
    with suppress(FlowModelsError), kept_in(tmp_path).keeping() as put:
        put(sha256(0), image(0))
        raise FlowModelsError("unreachable")
    assert not list(tmp_path.rglob("*"))


def test_they_are_what_decoding_gives_and_the_unreadable_have_none(tmp_path: Path) -> None:
    source = FolderSource(str(write_images(tmp_path / "data")))
    (tmp_path / "data/val/cat/bad.png").write_text("<html>")
    entries, kept = list(source.list()), kept_in(tmp_path / "cache")
    rows = describe_all(source, kept, describing_code(), entries)
    kept.look()
    for entry, row in zip(entries, rows, strict=True):
        found = kept.get(row["sha256"])
        if entry.key.endswith("bad.png"):
            assert found is None
        else:
            np.testing.assert_array_equal(found, decode(source.read(entry.key).data, SHAPE))


def test_the_shards_are_the_same_bytes_with_all_some_or_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderSource(str(write_images(tmp_path / "data")))
    monkeypatch.setattr(kept_pixels, "_FILE_BYTES", 1000)

    def shards(kept: KeptPixels | None, name: str) -> dict[str, bytes]:
        write_shards(read_manifest(path), source, tmp_path / name, shape=SHAPE, kept=kept, **OPTIONS)
        return {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}

    path = tmp_path / "manifest.parquet"
    write_manifest(source, path, journals=tmp_path / "journals", kept=kept_in(tmp_path / "cache"))
    expected = shards(None, "none")
    files(tmp_path)[0].unlink()
    read: list[str] = []
    pixels = packing.pixels.decode
    monkeypatch.setattr(packing.pixels, "decode", lambda *of: read.append("") or pixels(*of))
    assert shards(kept_in(tmp_path / "cache"), "some") == expected
    assert 0 < len(read) < len(read_manifest(path)) / 2
    read.clear()
    assert shards(kept_in(tmp_path / "cache"), "all") == expected
    assert not read  # those that were missing were kept
