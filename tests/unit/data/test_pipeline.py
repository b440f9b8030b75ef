from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from flow_models.data import pipeline, planning
from flow_models.data.fetching import Fetch
from flow_models.data.lanes import Share, steps_per_epoch
from flow_models.data.manifest import build_manifest
from flow_models.data.packing import PackedFile
from flow_models.data.pipeline import load_split, training_batches, vector_batches
from flow_models.data.shards import Index, read_index, write_shards
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError, UnavailableError
from flow_models.settings import AugmentationSettings
from tests.unit.data.folders import write_images


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    source = open_source(str(write_images(folder / "data", {"train/cat": 100, "val/cat": 1}, side=128)))
    manifest = build_manifest(source, progress=False)
    options = {"shape": (128, 128, 1), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}
    index = write_shards(manifest, source, folder / "shards", **options)
    assert len(index.splits["train"].files) > 1
    return folder / "shards"


VARIED = AugmentationSettings(flip=True, shift=0.1, zoom=0.1, rotation=5.0)


def epoch(shards: Path, number: int, *, seed: int = 0, batch_size: int = 8, **options: Any) -> np.ndarray:
    batches = training_batches(shards, batch_size=batch_size, seed=seed, epoch=number, **options)
    return np.stack([batch.numpy() for batch in batches])


def test_an_epoch_shows_every_image_once_but_for_the_last_short_batch(shards: Path) -> None:
    train = {image.tobytes() for image in load_split(shards, "train").images}
    batches = epoch(shards, 0)
    shown = [image.tobytes() for batch in batches for image in batch]
    assert batches.shape == (len(train) // 8, 8, 128, 128, 1)
    assert batches.dtype == np.uint8
    assert len(shown) == len(set(shown))
    assert set(shown) <= train


def test_the_order_follows_seed_and_epoch_and_nothing_else(shards: Path) -> None:
    first = epoch(shards, 3)
    tf.random.set_seed(7)
    assert np.array_equal(epoch(shards, 3), first)
    assert not np.array_equal(epoch(shards, 4), first)
    assert not np.array_equal(epoch(shards, 3, seed=1), first)


def test_skipping_resumes_in_the_middle_of_an_epoch(shards: Path) -> None:
    assert np.array_equal(epoch(shards, 2, skip=4), epoch(shards, 2)[4:])


def test_varied_images_follow_seed_epoch_and_batch_so_that_a_resumed_run_sees_the_same(shards: Path) -> None:
    first = epoch(shards, 2, augmentation=VARIED)
    assert (first != epoch(shards, 2)).any(axis=(2, 3, 4)).all()
    np.testing.assert_array_equal(epoch(shards, 2, skip=4, augmentation=VARIED), first[4:])
    np.testing.assert_array_equal(epoch(shards, 2, augmentation=AugmentationSettings()), epoch(shards, 2))


def test_more_images_than_are_shuffled_together_are_all_shown(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "SHUFFLED_BYTES", 20 * 128 * 128)
    whole = {image.tobytes() for batch in epoch(shards, 0) for image in batch}
    assert len(whole) == len(load_split(shards, "train").images) // 8 * 8


def test_classes_come_as_one_hot_rows_beside_the_images(shards: Path) -> None:
    images, classes = next(iter(training_batches(shards, batch_size=8, seed=0, epoch=0, classes=["ape", "cat"])))
    assert images.shape == (8, 128, 128, 1)
    np.testing.assert_array_equal(classes, [[0, 1]] * 8)


def test_vectors_are_shown_once_an_epoch_with_what_is_known_of_them() -> None:
    x = np.arange(10, dtype=np.float32)[:, None]
    epochs = [list(vector_batches([x, -x], batch_size=3, seed=0, epoch=epoch)) for epoch in (0, 0, 1)]
    first, again, other = [np.concatenate([batch[0] for batch in each])[:, 0] for each in epochs]
    assert len(set(first)) == 9
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(np.array_equal(batch[0], -batch[1]) for batch in epochs[0])
    (last,) = vector_batches([x], batch_size=3, seed=0, epoch=0, skip=2)
    np.testing.assert_array_equal(last[:, 0], first[6:])


def test_no_epoch_waits_for_the_tuner_of_tf_data(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    assert not vector_batches([x], batch_size=3, seed=0, epoch=0).options().autotune.enabled
    read, given = [], pipeline.untuned
    monkeypatch.setattr(pipeline, "untuned", lambda dataset: read.append(given(dataset)) or read[-1])
    next(iter(training_batches(shards, batch_size=8, seed=0, epoch=0)))
    load_split(shards, "val")
    assert [dataset.options().autotune.enabled for dataset in read] == [False, False]


def test_a_batch_larger_than_the_data_is_refused(shards: Path) -> None:
    with pytest.raises(FlowModelsError, match=r"train.batch_size is 200, but .* images to train on; use a smaller"):
        training_batches(shards, batch_size=200, seed=0, epoch=0)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_damaged_shard_says_what_to_run(shards: Path, tmp_path: Path, split: str) -> None:
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = bytearray((tmp_path / f"{split}-00000.tfrecord").read_bytes())
    damaged[100] ^= 255
    (tmp_path / f"{split}-00000.tfrecord").write_bytes(damaged)
    with pytest.raises(FlowModelsError, match=r"damaged \(.*run `flow-models data shard` again"):
        load_split(tmp_path, "val") if split == "val" else epoch(tmp_path, 0)


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 100 images, a few in each of the more than 40 files."""
    folder = tmp_path_factory.mktemp("many")
    source = open_source(str(write_images(folder / "data", {"train/cat": 100, "val/cat": 1})))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_FILES", 60)
        patch.setattr(planning, "_SMALLEST", 1)
        options = {"shape": (8, 8, 1), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}
        write_shards(build_manifest(source, progress=False), source, folder / "shards", **options)
    return folder / "shards"


def fetch_with(monkeypatch: pytest.MonkeyPatch, wait: Callable[[int], None]) -> set[str]:
    """The names of the files that are asked for; ``wait`` hears of each, by how many there were before."""
    asked, names = count(), set()

    def fetcher(folder: Path, _: Index) -> Fetch:
        def fetch(file: PackedFile) -> Path:
            names.add(file.name)
            wait(next(asked))
            return folder / file.name

        return fetch

    monkeypatch.setattr(pipeline, "fetcher", fetcher)
    return names


def test_the_first_batch_waits_for_the_first_files_only(many_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = epoch(many_files, 0, batch_size=11)  # of one lane
    monkeypatch.setattr(pipeline, "SHUFFLED_BYTES", 8 * 8 * 8)
    come = Event()

    def wait(before: int) -> None:
        if before >= 16 and not come.wait(60):
            raise UnavailableError("another file was waited for")

    fetch_with(monkeypatch, wait)
    batches = training_batches(many_files, batch_size=11, seed=0, epoch=0)
    assert next(batches).shape == (11, 8, 8, 1)
    come.set()
    assert len(list(batches)) == len(expected) - 1


def test_a_shard_that_cannot_be_had_is_the_one_line_of_who_asked(
    many_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(before: int) -> None:
        if before > 20:
            raise UnavailableError("s3://shards: cannot be reached")

    fetch_with(monkeypatch, fail)
    batches = training_batches(many_files, batch_size=8, seed=0, epoch=0)
    with pytest.raises(UnavailableError, match="s3://shards: cannot be reached"):
        list(batches)


# The 40 files and more are 8 lanes of batches of 8, and 6 of 12, of which 4 workers take one and a half each.
SHARED = [(8, 2), (8, 8), (12, 4), (12, 12)]


@pytest.mark.parametrize(("batch_size", "workers"), SHARED)
def test_the_shares_of_the_workers_are_the_batches_of_one(many_files: Path, batch_size: int, workers: int) -> None:
    options = {"batch_size": batch_size, "skip": 2, "augmentation": VARIED}
    shares = [epoch(many_files, 1, share=Share(worker, workers), **options) for worker in range(workers)]
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), epoch(many_files, 1, **options))


def test_the_shares_of_few_files_are_their_batches_as_well(shards: Path) -> None:
    shares = [epoch(shards, 1, share=Share(worker, 2)) for worker in range(2)]
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), epoch(shards, 1))


def test_a_share_has_its_own_classes(many_files: Path) -> None:
    options = {"batch_size": 8, "seed": 0, "epoch": 0, "classes": ["ape", "cat"]}
    images, classes = next(training_batches(many_files, share=Share(1, 2), **options))
    assert images.shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(classes, [[0, 1]] * 4)


def test_workers_open_the_files_of_their_share_only(many_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    for worker in range(4):
        opened.append(fetch_with(monkeypatch, lambda _: None))
        epoch(many_files, 0, share=Share(worker, 4))
    assert set.union(*opened) == {file.name for file in read_index(many_files).splits["train"].files}
    assert sum(map(len, opened)) == len(set.union(*opened))


def test_an_epoch_of_lanes_shows_no_image_twice_and_other_ones_each_time(many_files: Path) -> None:
    train = read_index(many_files).splits["train"]
    epochs = [[image.tobytes() for batch in epoch(many_files, number) for image in batch] for number in range(2)]
    for shown in epochs:
        assert len(shown) == len(set(shown)) == 8 * steps_per_epoch(train.files, 8) > 0.7 * train.count
    assert epochs[0] != epochs[1]
    np.testing.assert_array_equal(epoch(many_files, 0, skip=3), epoch(many_files, 0)[3:])
