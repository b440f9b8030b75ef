"""From shards to arrays and batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from flow_models.data.augmentation import augment
from flow_models.data.fetching import Fetch, fetched, fetcher
from flow_models.data.packing import PackedFile
from flow_models.data.shards import Index, Shape, read_index
from flow_models.errors import FlowModelsError
from flow_models.settings import AugmentationSettings

Batch: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]
SHUFFLED_BYTES = 64 * 2**20  # of pixels shuffled together
_FEATURES = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "class", "key")}


@dataclass(frozen=True)
class Split:
    """One split in memory, for evaluation.

    Attributes:
        images: ``(n, height, width, channels)``, uint8.
        classes: ``(n,)``, str: the class folders.
        keys: ``(n,)``, str: the files, relative to the source.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.str_]
    keys: NDArray[np.str_]


def load_split(folder: Path, split: str) -> Split:
    """Every image of ``train``, ``holdout`` or ``val``, in the order of the shards.

    Raises:
        FlowModelsError: if a shard is missing or damaged.
    """
    index = read_index(folder)
    part = index.splits[split]
    images = np.empty((part.count, *index.shape), np.uint8)
    classes, keys = [], []
    with _readable(folder, index):
        files = [str(path) for path in fetched(fetcher(folder, index), part.files)]
        for position, example in enumerate(tf.data.TFRecordDataset(files).map(_parse).as_numpy_iterator()):
            images[position] = np.frombuffer(example["image"], np.uint8).reshape(index.shape)
            classes.append(example["class"].decode())
            keys.append(example["key"].decode())
    return Split(images, np.array(classes, np.str_), np.array(keys, np.str_))


def training_batches(
    folder: Path,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip: int = 0,
    classes: Sequence[str] = (),
    augmentation: AugmentationSettings | None = None,
) -> Iterator[Batch]:
    """One epoch of training images in an order that is a function of ``seed`` and ``epoch`` alone.

    Files are read interleaved and the images shuffled within 64 MB, on top of the hashed order in
    the files. TensorFlow's global seed has no say, so a resumed run sees what the first would have.
    The first batch waits for the files that are read together, and for no other.

    Args:
        folder: of shards.
        batch_size: images a batch; a smaller last batch is dropped.
        seed: of the run.
        epoch: counted from 0.
        skip: batches that were already seen in this epoch.
        classes: the class folders, in the order of their numbers; none: classes do not matter.
        augmentation: how the images are varied, by draws that follow from seed, epoch and batch; None: not at all.

    Returns:
        Batches ``(batch_size, height, width, channels)``, uint8; or, with ``classes``, pairs of these and the classes
        as one-hot rows ``(batch_size, len(classes))``, float32.

    Raises:
        FlowModelsError: if there are fewer images than one batch; in the iteration, if a shard is missing or damaged.
    """
    index = read_index(folder)
    train = index.splits["train"]
    if train.count < batch_size:
        raise FlowModelsError(
            f"train.batch_size is {batch_size}, but {folder} has {train.count} images to train on; "
            f"use at most {train.count}"
        )
    order = sorted(train.files, key=lambda file: hashlib.sha256(f"{seed}:{epoch}:{file.name}".encode()).digest())
    failures: list[FlowModelsError] = []
    fetch = _remembering(fetcher(folder, index), failures)
    records = _interleaved(fetched(fetch, order), len(order))
    shuffled = _shuffled(records, chunk=max(SHUFFLED_BYTES // prod(index.shape), batch_size), seed=(seed, epoch))
    batches = shuffled.skip(skip * batch_size).batch(batch_size, drop_remainder=True)

    def parse(number: tf.Tensor, records: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        images = _images(records, index.shape)
        if augmentation is not None:
            own = tf.random.experimental.stateless_fold_in(tf.constant([seed, epoch], tf.int64), number)
            images = augment(images, augmentation, seed=own)
        return (images, _one_hot(records, classes)) if classes else images

    parsed = batches.enumerate(start=skip).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
    return _explained(parsed, folder, index, failures)


def vector_batches(
    arrays: Sequence[NDArray[np.float32]], *, batch_size: int, seed: int, epoch: int, skip: int = 0
) -> tf.data.Dataset[tf.Tensor]:
    """One epoch of rows in an order that is a function of ``seed`` and ``epoch`` alone.

    Args:
        arrays: the vectors ``(n, p)``, and what is known beside them ``(n, m)`` if anything is.
        batch_size: rows a batch; a smaller last batch is dropped.
        seed: of the run.
        epoch: counted from 0.
        skip: batches that were already seen in this epoch.

    Returns:
        Batches ``(batch_size, p)``, or pairs of these and ``(batch_size, m)``.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(arrays[0]))
    steps = len(order) // batch_size
    batches = tuple(
        each[order[: steps * batch_size]].reshape(steps, batch_size, *each.shape[1:])[skip:] for each in arrays
    )
    return tf.data.Dataset.from_tensor_slices(batches if len(batches) > 1 else batches[0])


def _remembering(fetch: Fetch, failures: list[FlowModelsError]) -> Fetch:
    """TensorFlow makes a text of an error that comes to it from Python: keep those that a user is meant to read."""

    def remembered(file: PackedFile) -> Path:
        try:
            return fetch(file)
        except FlowModelsError as error:
            failures.append(error)
            raise

    return remembered


def _explained(
    batches: tf.data.Dataset[Batch], folder: Path, index: Index, failures: Sequence[FlowModelsError]
) -> Iterator[Batch]:
    with _readable(folder, index, failures):
        yield from batches


@contextmanager
def _readable(folder: Path, index: Index, failures: Sequence[FlowModelsError] = ()) -> Iterator[None]:
    """Say in one line what TensorFlow, or who fetched for it, found wrong with a file."""
    try:
        yield
    except tf.errors.OpError as error:
        if failures:
            raise failures[0] from None
        # What was fetched is checked, and fetched again, when it is next asked for.
        remedy = "run this again" if index.location else "run `flow-models data shard` again"
        raise FlowModelsError(f"{folder}: damaged ({error.message}); {remedy}") from None


def _interleaved(paths: Iterator[Path], count: int) -> tf.data.Dataset[tf.Tensor]:
    # A quarter of the time that from_generator takes, and small sets have many epochs.
    names = tf.data.Dataset.range(count).map(lambda _: tf.numpy_function(lambda: str(next(paths)), [], tf.string))
    # In this thread: with threads of its own it would wait for many more files before the first record.
    return names.interleave(tf.data.TFRecordDataset, cycle_length=8, block_length=16)


def _shuffled(records: tf.data.Dataset[tf.Tensor], *, chunk: int, seed: tuple[int, int]) -> tf.data.Dataset[tf.Tensor]:
    """Shuffle within chunks of records, by stateless random numbers only."""

    def shuffle(number: tf.Tensor, chunk_of_records: tf.Tensor) -> tf.Tensor:
        own = tf.random.experimental.stateless_fold_in(tf.constant(seed, tf.int64), number)
        return tf.gather(chunk_of_records, tf.argsort(tf.random.stateless_uniform(tf.shape(chunk_of_records), own)))

    return records.batch(chunk).enumerate().map(shuffle).prefetch(1).unbatch()


def _parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
    return tf.io.parse_single_example(record, _FEATURES)


def _images(records: tf.Tensor, shape: Shape) -> tf.Tensor:
    content = tf.io.parse_example(records, {"image": _FEATURES["image"]})["image"]
    pixels = tf.io.decode_raw(content, tf.uint8)
    return tf.reshape(pixels, (records.shape[0], *shape))


def _one_hot(records: tf.Tensor, classes: Sequence[str]) -> tf.Tensor:
    names = tf.io.parse_example(records, {"class": _FEATURES["class"]})["class"]
    return tf.cast(names[:, tf.newaxis] == tf.constant(list(classes)), tf.float32)
