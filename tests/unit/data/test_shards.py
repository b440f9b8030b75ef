import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flow_models.data import packing, planning, shards
from flow_models.data.manifest import build_manifest, manifest_digest
from flow_models.data.pipeline import load_split
from flow_models.data.shards import Index, read_index, write_shards
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError
from tests.unit.data.folders import write_images

OPTIONS: dict[str, Any] = {
    "shape": (8, 8, 1),
    "holdout": 0.25,
    "seed": 0,
    "inliers": [],
    "megabytes": 1,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


def pack(data: Path, folder: Path, **options: Any) -> Index:
    source = open_source(str(data))
    return write_shards(build_manifest(source, progress=False), source, folder, **OPTIONS | options)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_pixel_comes_back_under_its_class_and_key(data: Path, tmp_path: Path) -> None:
    index = pack(data, tmp_path / "shards")
    keys = []
    for name, files in index.splits.items():
        split = load_split(tmp_path / "shards", name)
        assert len(split.images) == files.count
        for image, class_, key in zip(split.images, split.classes, split.keys, strict=True):
            assert np.array_equal(image[..., 0], np.asarray(Image.open(data / key)))
            assert class_ == key.split("/")[1]
            assert key.startswith("val/") == (name == "val")
        keys += split.keys.tolist()
    assert sorted(keys) == sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))


def test_the_index_says_what_they_are(data: Path, tmp_path: Path) -> None:
    index = pack(data, tmp_path / "shards", inliers=["dog"])
    assert read_index(tmp_path / "shards") == index
    assert index.classes == ["cat", "dog"]
    assert index.inliers == ["dog"]
    assert index.splits["val"].classes == {"ball": 4, "cat": 4, "dog": 4}
    assert all(split.count == sum(file.count for file in split.files) for split in index.splits.values())
    assert index.manifest_digest == manifest_digest(build_manifest(open_source(str(data)), progress=False))


def test_the_same_images_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    assert pack(data, tmp_path / "one") == pack(data, tmp_path / "two")
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


def test_the_digest_knows_shape_content_and_files(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_FILES", 1)
    write_images(tmp_path / "more", {"train/cat": 700, "val/cat": 2}, side=64)
    one, other = (pack(tmp_path / "more", tmp_path / f"{n}", shape=(64, 64, 1), megabytes=n) for n in (1, 100))
    assert len(one.splits["train"].files) > 1 == len(other.splits["train"].files)
    assert one.digest != other.digest  # training reads them in another order
    digest = pack(data, tmp_path / "shards").digest
    assert pack(data, tmp_path / "shards", shape=(4, 16, 1)).digest != digest
    (data / "val/cat/000.png").unlink()
    assert pack(data, tmp_path / "shards").digest != digest


def test_the_holdout_is_the_asked_share_and_follows_the_seed(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", {"train/cat": 400, "val/cat": 1})
    held = []
    for seed in (0, 1):
        pack(data, tmp_path / "shards", seed=seed)
        held.append(set(load_split(tmp_path / "shards", "holdout").keys.tolist()))
        assert len(held[-1]) == pytest.approx(100, abs=30)
    assert held[0] != held[1]


def test_an_image_keeps_its_side_when_others_come_and_its_copies_share_it(data: Path, tmp_path: Path) -> None:
    pack(data, tmp_path / "shards")
    before = set(load_split(tmp_path / "shards", "holdout").keys.tolist())
    for path in sorted((data / "train").rglob("*.png")):
        path.with_name(f"copy-{path.name}").write_bytes(path.read_bytes())
    pack(data, tmp_path / "shards")
    after = set(load_split(tmp_path / "shards", "holdout").keys.tolist())
    assert after == before | {key.replace("/0", "/copy-0") for key in before}


def test_even_two_images_make_a_holdout_but_one_does_not(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", {"train/cat": 2, "val/cat": 1})
    counts = {name: files.count for name, files in pack(data, tmp_path / "shards", holdout=0.01).splits.items()}
    assert counts == {"train": 1, "holdout": 1, "val": 1}
    (data / "train/cat/000.png").unlink()
    with pytest.raises(FlowModelsError, match="too few"):
        pack(data, tmp_path / "shards", holdout=0.01)


def test_unreadable_images_are_left_out(data: Path, tmp_path: Path) -> None:
    (data / "val/cat/000.png").write_bytes(b"")
    assert pack(data, tmp_path / "shards").splits["val"].count == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(b"other"), "changed since it was validated"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_an_image_that_changed_after_validation_stops_it(
    data: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    source = open_source(str(data))
    manifest = build_manifest(source, progress=False)
    pack(data, tmp_path / "shards", seed=1)
    before = everything(tmp_path / "shards")
    change(data / "train/cat/003.png")
    with pytest.raises(FlowModelsError, match=f"train/cat/003.png: {message}"):
        write_shards(manifest, source, tmp_path / "shards", **OPTIONS)
    assert everything(tmp_path / "shards") == before


def test_a_normal_class_without_images_is_named_with_those_that_have(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match=r"val/bird: no images of this normal class.*\(ball, cat, dog\)"):
        pack(data, tmp_path / "shards", inliers=["bird"])


def test_a_folder_of_anything_else_says_what_to_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match=r"index.json: no such file; run `flow-models data shard`"):
        read_index(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"splits": {}}))
    with pytest.raises(FlowModelsError, match="not an index"):
        read_index(tmp_path)
    pack(data, tmp_path / "shards")
    (tmp_path / "shards/val-00000.tfrecord").unlink()
    with pytest.raises(FlowModelsError, match=r"val-00000.tfrecord: missing"):
        read_index(tmp_path / "shards")


def test_the_order_of_the_manifest_does_not_matter(data: Path, tmp_path: Path) -> None:
    source = open_source(str(data))
    manifest: pd.DataFrame = build_manifest(source, progress=False)
    one = write_shards(manifest, source, tmp_path / "one", **OPTIONS)
    other = write_shards(manifest.sample(frac=1, random_state=1), source, tmp_path / "two", **OPTIONS)
    assert one == other


def test_a_file_holds_what_was_planned_whatever_its_images_are(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", {"train/cat": 1200, "val/cat": 2}, side=64)
    index = pack(data, tmp_path / "shards", shape=(64, 64, 1), megabytes=128)
    assert [len(split.files) for split in index.splits.values()] == [4, 2, 1]
    folder = tmp_path / "shards"
    for file in (file for split in index.splits.values() for file in split.files):
        content = (folder / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        assert file.size < 1.2 * 2**20
    assert index.bytes == sum(path.stat().st_size for path in folder.glob("*.tfrecord"))


def test_only_files_whose_images_changed_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_images(tmp_path / "data", {"train/cat": 300, "val/cat": 2})
    monkeypatch.setattr(planning, "_SMALLEST", 2000)
    made: list[str] = []
    monkeypatch.setattr(
        shards, "pack", lambda packing, plans: made.extend(p.name for p in plans) or write(packing, plans)
    )
    write = packing.pack
    first = pack(data, tmp_path / "shards")
    assert len(made) > 10
    made.clear()
    assert pack(data, tmp_path / "shards") == first
    assert not made
    (data / "val/cat/000.png").unlink()
    (data / "train/cat/more.png").write_bytes((data / "val/cat/001.png").read_bytes())
    changed = pack(data, tmp_path / "shards")
    assert 2 <= len(made) <= 4
    assert changed == pack(data, tmp_path / "clean")
    assert everything(tmp_path / "shards") == everything(tmp_path / "clean")


def test_a_damaged_file_is_made_again_and_not_kept(data: Path, tmp_path: Path) -> None:
    pack(data, tmp_path / "shards")
    before = everything(tmp_path / "shards")
    path = tmp_path / "shards/val-00000.tfrecord"
    path.write_bytes(path.read_bytes().replace(b"cat", b"cow"))
    pack(data, tmp_path / "shards")
    assert everything(tmp_path / "shards") == before


def test_a_worker_of_another_version_does_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "packing_code", lambda: "of another version")
    with pytest.raises(FlowModelsError, match="a worker has another version of flow-models or Pillow"):
        pack(data, tmp_path / "shards")
