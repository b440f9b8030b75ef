import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flow_models.data.manifest import DTYPES, build_manifest, manifest_digest, read_manifest, write_manifest
from flow_models.data.png import encode_png
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError
from tests.unit.data.folders import CLASSES, write_images


def manifest_of(folder: Path) -> pd.DataFrame:
    return build_manifest(open_source(str(folder)), progress=False)


def test_a_row_says_what_the_image_is(tmp_path: Path) -> None:
    write_images(tmp_path)
    pixels = np.arange(96, dtype=np.uint8).reshape(8, 12)
    (tmp_path / "val/cat/deep").mkdir()
    (tmp_path / "val/cat/deep/a.png").write_bytes(encode_png(pixels))
    manifest = manifest_of(tmp_path)
    row = manifest.set_index("key").loc["val/cat/deep/a.png"]
    assert (row["split"], row["class"], row["width"], row["height"], row["mode"]) == ("val", "cat", 12, 8, "L")
    assert row["sha256"] == hashlib.sha256(encode_png(pixels)).hexdigest()
    assert row["mean"] == pytest.approx(pixels.mean())
    assert row["std"] == pytest.approx(pixels.std())
    assert pd.isna(row["error"])
    assert len(manifest) == sum(CLASSES.values()) + 1
    assert manifest["key"].is_monotonic_increasing


def test_a_bad_file_is_a_row_with_its_reason(tmp_path: Path) -> None:
    write_images(tmp_path)
    whole = (tmp_path / "train/cat/000.png").read_bytes()
    (tmp_path / "train/cat/001.png").write_bytes(whole[:60])
    (tmp_path / "train/cat/notes.txt").write_text("not an image at all")
    (tmp_path / "train/dog/empty.png").touch()
    errors = manifest_of(tmp_path).set_index("key")["error"].dropna()
    assert errors.to_dict() == {
        "train/cat/001.png": "truncated image",
        "train/cat/notes.txt": 'not an image (starts with "not an i")',
        "train/dog/empty.png": "zero bytes",
    }


def test_hidden_files_and_what_lies_beside_are_passed_over(tmp_path: Path) -> None:
    write_images(tmp_path)
    for litter in ("README.md", ".DS_Store", "train/.DS_Store", "train/cat/._000.png", "val/cat/Thumbs.db"):
        (tmp_path / litter).touch()
    assert len(manifest_of(tmp_path)) == sum(CLASSES.values())


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_class_folder_is_named(tmp_path: Path, split: str) -> None:
    write_images(tmp_path)
    (tmp_path / split / "bird").mkdir()
    (tmp_path / split / "bird/.DS_Store").touch()
    with pytest.raises(FlowModelsError, match=f"{split}/bird/: an empty class folder"):
        manifest_of(tmp_path)


def test_a_file_in_no_class_is_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "train/stray.png").touch()
    with pytest.raises(FlowModelsError, match=r"train/stray.png: in no class folder"):
        manifest_of(tmp_path)


def test_data_without_train_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, {"val/cat": 3})
    with pytest.raises(FlowModelsError, match="no images in train/"):
        manifest_of(tmp_path)


def test_it_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    manifest = manifest_of(write_images(tmp_path / "data"))
    write_manifest(manifest, tmp_path / "new/manifest.parquet")
    again = read_manifest(tmp_path / "new/manifest.parquet")
    pd.testing.assert_frame_equal(manifest, again)
    assert again.attrs == manifest.attrs == {"source": str(tmp_path / "data")}
    assert list(again.columns) == list(DTYPES)


def test_a_missing_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match="flow-models data validate"):
        read_manifest(tmp_path / "manifest.parquet")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(FlowModelsError, match="damaged"):
        read_manifest(tmp_path / "manifest.parquet")


def test_the_digest_is_of_keys_and_contents_alone(tmp_path: Path) -> None:
    manifest = manifest_of(write_images(tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert manifest_digest(manifest_of(tmp_path / "there")) == manifest_digest(manifest)
    assert manifest_digest(manifest.sample(frac=1, random_state=0)) == manifest_digest(manifest)
    (tmp_path / "there/val/cat/000.png").write_bytes(b"other")
    assert manifest_digest(manifest_of(tmp_path / "there")) != manifest_digest(manifest)
