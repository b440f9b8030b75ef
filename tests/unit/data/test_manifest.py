import hashlib
import io
import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from flow_models.data import describe as describing
from flow_models.data import journal, sources
from flow_models.data import manifest as module
from flow_models.data.describe import describe, perceptual_hash
from flow_models.data.duplicates import NEAR_BITS
from flow_models.data.manifest import (
    DTYPES,
    Summary,
    build_manifest,
    manifest_digest,
    read_manifest,
    write_manifest,
)
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


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this moment are taken for settled: nothing here changes twice within a tick of the clock."""
    monkeypatch.setattr(sources, "RACY_SECONDS", 0)


def written(folder: Path, name: str = "manifest.parquet") -> Summary:
    journals = folder / "journals"
    return write_manifest(open_source(str(folder / "data")), folder / name, journals=journals)


def test_it_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    manifest = manifest_of(write_images(tmp_path / "data"))
    summary = written(tmp_path, "new/manifest.parquet")
    again = read_manifest(tmp_path / "new/manifest.parquet")
    pd.testing.assert_frame_equal(manifest, again)
    assert again.attrs == manifest.attrs == {"source": str(tmp_path / "data")}
    assert list(again.columns) == list(DTYPES)
    assert summary == Summary(len(manifest), manifest_digest(manifest), read=len(manifest))


def test_only_what_has_changed_is_read_again(tmp_path: Path, settled: None) -> None:
    write_images(tmp_path / "data")
    (tmp_path / "data/train/cat/bad.png").write_bytes(b"<html>")
    written(tmp_path)
    before = (tmp_path / "manifest.parquet").read_bytes()
    assert written(tmp_path).read == 0
    assert (tmp_path / "manifest.parquet").read_bytes() == before
    (tmp_path / "data/val/cat/000.png").write_bytes((tmp_path / "data/val/cat/001.png").read_bytes())
    (tmp_path / "data/train/dog/000.png").unlink()
    (tmp_path / "data/train/ant").mkdir()
    shutil.copy(tmp_path / "data/train/cat/003.png", tmp_path / "data/train/ant/new.png")
    assert written(tmp_path).read == 2
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.parquet"), manifest_of(tmp_path / "data"))


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    monkeypatch.setattr(journal, "PARTS_A_GROUP", 2)
    write_images(tmp_path / "data")
    written(tmp_path)
    whole = (tmp_path / "manifest.parquet").read_bytes()
    shutil.rmtree(tmp_path / "journals")

    def kill(source: sources.Source, shape: None, entry: sources.Entry) -> tuple[dict[str, object], None]:
        if entry.key == "val/ball/001.png":
            raise KeyboardInterrupt
        return describe(source, shape, entry)

    with monkeypatch.context() as killed:
        killed.setattr(describing, "describe", kill)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path)
    assert written(tmp_path).read == sum(CLASSES.values()) - 25
    assert (tmp_path / "manifest.parquet").read_bytes() == whole
    assert written(tmp_path).read == 0


def test_what_an_earlier_run_knew_outlives_a_killed_one(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    write_images(tmp_path / "data")
    written(tmp_path)
    (tmp_path / "data/train/cat/000.png").write_bytes(b"other")
    (tmp_path / "data/val/dog/000.png").write_bytes(b"other")

    def kill(source: sources.Source, shape: None, entry: sources.Entry) -> tuple[dict[str, object], None]:
        if entry.key.startswith("val/"):
            raise KeyboardInterrupt
        return describe(source, shape, entry)

    with monkeypatch.context() as killed:
        killed.setattr(describing, "describe", kill)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path)
    assert written(tmp_path).read == 1


def test_a_journal_that_cannot_be_read_costs_time_only(tmp_path: Path, settled: None) -> None:
    write_images(tmp_path / "data")
    written(tmp_path)
    (rows,) = (tmp_path / "journals").rglob("rows.parquet")
    rows.write_bytes(b"PAR1 but not really")
    assert written(tmp_path).read == sum(CLASSES.values())


def test_two_runs_do_not_write_the_same_journal(tmp_path: Path) -> None:
    source = open_source(str(write_images(tmp_path / "data")))
    with (
        journal.Journal(tmp_path / "journals" / module._journal_name(source), module.SCHEMA),
        pytest.raises(FlowModelsError, match="another run"),
    ):
        written(tmp_path)


def test_the_hash_of_a_picture_survives_compression_and_size_and_tells_pictures_apart() -> None:
    photograph = Image.fromarray(load_sample_image("china.jpg")).convert("L")
    patches = [photograph.crop((x, y, x + 96, y + 96)) for x in range(0, 540, 96) for y in range(0, 380, 96)]
    patches = [patch for patch in patches if np.asarray(patch).std() > 20]  # the sky is noise alone
    hashes = [int(perceptual_hash(patch) or "", 16) for patch in patches]
    for patch, own in zip(patches, hashes, strict=True):
        file = io.BytesIO()
        patch.resize((72, 72)).save(file, "JPEG", quality=80)
        assert (int(perceptual_hash(Image.open(file)) or "", 16) ^ own).bit_count() <= NEAR_BITS
    apart = [(one ^ other).bit_count() for one, other in itertools.combinations(hashes, 2)]
    assert min(apart) > 3 * NEAR_BITS


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
