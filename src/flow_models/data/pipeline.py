"""From shards to arrays and batches."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from flow_models.data.augmentation import augment
from flow_models.data.shards import Shape, local_files, read_index
from flow_models.errors import FlowModelsError
from flow_models.settings import AugmentationSettings

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
    count = index.splits[split].count
    images = np.empty((count, *index.shape), np.uint8)
    classes, keys = [], []
    dataset = tf.data.TFRecordDataset([str(path) for path in local_files(folder, index, split).values()])
    try:
        for position, example in enumerate(dataset.map(_parse).as_numpy_iterator()):
            images[position] = np.frombuffer(example["image"], np.uint8).reshape(index.shape)
            classes.append(example["class"].decode())
            keys.append(example["key"].decode())
    except tf.errors.OpError as error:
        raise FlowModelsError(f"{folder}: damaged ({error.message}); run `flow-models data shard` again") from None
    return Split(images, np.array(classes, np.str_), np.array(keys, np.str_))


def class_counts(folder: Path, split: str) -> dict[str, int]:
    """How many images each class folder has in a split, in the order of the folders' names."""
    files = [str(path) for path in local_files(folder, read_index(folder), split).values()]
    records = tf.data.TFRecordDataset(files).batch(1024)
    names = records.map(lambda batch: tf.io.parse_example(batch, {"class": _FEATURES["class"]})["class"])
    counts = Counter(name.decode() for batch in names.as_numpy_iterator() for name in batch)
    return dict(sorted(counts.items()))


def training_batches(
    folder: Path,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip: int = 0,
    classes: Sequence[str] = (),
    augmentation: AugmentationSettings | None = None,
) -> tf.data.Dataset[tf.Tensor]:
    """One epoch of training images in an order that is a function of ``seed`` and ``epoch`` alone.

    Files are read interleaved and the images shuffled within 64 MB, on top of the hashed order in
    the files. TensorFlow's global seed has no say, so a resumed run sees what the first would have.

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
        FlowModelsError: if there are fewer images than one batch.
    """
    index = read_index(folder)
    train = index.splits["train"]
    if train.count < batch_size:
        raise FlowModelsError(
            f"train.batch_size is {batch_size}, but {folder} has {train.count} images to train on; "
            f"use at most {train.count}"
        )
    files = local_files(folder, index, "train")
    order = sorted(files, key=lambda name: hashlib.sha256(f"{seed}:{epoch}:{name}".encode()).digest())
    records = _interleaved([str(files[name]) for name in order])
    shuffled = _shuffled(records, chunk=max(SHUFFLED_BYTES // prod(index.shape), batch_size), seed=(seed, epoch))
    batches = shuffled.skip(skip * batch_size).batch(batch_size, drop_remainder=True)

    def parse(number: tf.Tensor, records: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        images = _images(records, index.shape)
        if augmentation is not None:
            own = tf.random.experimental.stateless_fold_in(tf.constant([seed, epoch], tf.int64), number)
            images = augment(images, augmentation, seed=own)
        return (images, _one_hot(records, classes)) if classes else images

    return batches.enumerate(start=skip).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


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


def _interleaved(files: Sequence[str]) -> tf.data.Dataset[tf.Tensor]:
    return tf.data.Dataset.from_tensor_slices(list(files)).interleave(
        tf.data.TFRecordDataset, cycle_length=8, block_length=16, num_parallel_calls=2, deterministic=True
    )


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
