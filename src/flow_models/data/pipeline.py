"""From shards to arrays and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from flow_models.data.augmentation import augment
from flow_models.data.fetching import Fetch, fetched, fetcher
from flow_models.data.lanes import WHOLE, Share, lanes_of, steps_per_epoch
from flow_models.data.packing import PackedFile
from flow_models.data.parallel import cores
from flow_models.data.shards import Index, Shape, read_index
from flow_models.errors import FlowModelsError
from flow_models.settings import AugmentationSettings

Batch: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]
Seed: TypeAlias = tuple[int, int]
READ_TOGETHER = 8  # files
SHUFFLED_BYTES = 64 * 2**20  # of pixels shuffled together
fold_in = tf.random.experimental.stateless_fold_in
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
        examples = untuned(tf.data.TFRecordDataset(files).map(_parse))
        for position, example in enumerate(examples.as_numpy_iterator()):
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
    share: Share = WHOLE,
    classes: Sequence[str] = (),
    augmentation: AugmentationSettings | None = None,
) -> Iterator[Batch]:
    """One epoch of training images in an order that is a function of ``seed`` and ``epoch`` alone.

    Files are read interleaved and the images shuffled within 64 MB, on top of the hashed order in
    the files. TensorFlow's global seed has no say, so a resumed run sees what the first would have.
    The first batch waits for the files that are read together, and for no other. A batch is made of
    equal parts, each from files of its own (``lanes``): who takes a share opens the files of that only.

    Args:
        folder: of shards.
        batch_size: images a batch; what is left of an epoch after the last whole batch is dropped.
        seed: of the run.
        epoch: counted from 0.
        skip: batches that were already seen in this epoch.
        share: of every batch; the shares of all workers, one after the other, are the batch.
        classes: the class folders, in the order of their numbers; none: classes do not matter.
        augmentation: how the images are varied, by draws that follow from seed, epoch and batch; None: not at all.

    Returns:
        The share of batches ``(batch_size, height, width, channels)``, uint8; or, with ``classes``, pairs of these and
        the classes as one-hot rows ``(batch_size, len(classes))``, float32.

    Raises:
        FlowModelsError: if there are fewer images than one batch; in the iteration, if a shard is missing or damaged.
    """
    index = read_index(folder)
    train = index.splits["train"]
    if (steps := steps_per_epoch(train.files, batch_size)) < 1:
        raise FlowModelsError(
            f"train.batch_size is {batch_size}, but {folder} has {train.count} images to train on; use a smaller one"
        )
    lanes = lanes_of(train.files, batch_size)
    part, rows = batch_size // len(lanes), share.rows(batch_size)
    own = range(rows.start // part, -(-rows.stop // part))
    cut = slice(rows.start - own.start * part, rows.stop - own.start * part)
    # The first lane has the seed of a set that is not divided.
    seeds = [(seed, epoch + (lane << 32)) for lane in own]
    failures: list[FlowModelsError] = []
    fetch = _remembering(fetcher(folder, index), failures)

    def lane(number: int, own_seed: Seed) -> tf.data.Dataset[tf.Tensor]:
        order = sorted(lanes[number], key=lambda file: sha256(f"{seed}:{epoch}:{file.name}".encode()).digest())
        paths = fetched(fetch, order, others=len(own) - 1)
        records = _interleaved(paths, len(order), together=-(-READ_TOGETHER // len(lanes)))
        chunk = max(SHUFFLED_BYTES // prod(index.shape) // len(lanes), part)
        return _shuffled(records, chunk=chunk, seed=own_seed).skip(skip * part).batch(part, drop_remainder=True)

    def parse(number: tf.Tensor, *parts: tf.Tensor) -> Batch:
        images = [_images(records, index.shape) for records in parts]
        if augmentation is not None:
            folded = [fold_in(tf.constant(each, tf.int64), number) for each in seeds]
            images = [augment(each, augmentation, seed=own) for each, own in zip(images, folded, strict=True)]
        batch = tf.concat(images, axis=0)[cut]
        return (batch, _one_hot(tf.concat(parts, axis=0)[cut], classes)) if classes else batch

    parts = tf.data.Dataset.zip(tf.data.Dataset.range(skip, steps), *map(lane, own, seeds))
    parsed = parts.map(parse, num_parallel_calls=cores()).prefetch(2)
    return _explained(untuned(parsed), folder, index, failures)


def vector_batches(
    arrays: Sequence[NDArray[np.float32]],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip: int = 0,
    share: Share = WHOLE,
) -> tf.data.Dataset[tf.Tensor]:
    """One epoch of rows in an order that is a function of ``seed`` and ``epoch`` alone.

    Args:
        arrays: the vectors ``(n, p)``, and what is known beside them ``(n, m)`` if anything is.
        batch_size: rows a batch; a smaller last batch is dropped.
        seed: of the run.
        epoch: counted from 0.
        skip: batches that were already seen in this epoch.
        share: of every batch.

    Returns:
        The share of batches ``(batch_size, p)``, or of pairs of these and ``(batch_size, m)``.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(arrays[0]))
    steps = len(order) // batch_size
    batches = tuple(
        each[order[: steps * batch_size].reshape(steps, batch_size)[skip:, share.rows(batch_size)]] for each in arrays
    )
    return untuned(tf.data.Dataset.from_tensor_slices(batches if len(batches) > 1 else batches[0]))


def untuned(dataset: tf.data.Dataset[Batch]) -> tf.data.Dataset[Batch]:
    """Without TensorFlow's tuner, whose thread sleeps for twice as long each time, up to a minute.

    An epoch's iterator waits for it to wake before it goes: an epoch of 12 seconds took 21, one of 48 took 82.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


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


def _interleaved(paths: Iterator[Path], count: int, *, together: int) -> tf.data.Dataset[tf.Tensor]:
    # A quarter of the time that from_generator takes, and small sets have many epochs.
    names = tf.data.Dataset.range(count).map(lambda _: tf.numpy_function(lambda: str(next(paths)), [], tf.string))
    # In this thread: with threads of its own it would wait for many more files before the first record.
    return names.interleave(tf.data.TFRecordDataset, cycle_length=together, block_length=16)


def _shuffled(records: tf.data.Dataset[tf.Tensor], *, chunk: int, seed: Seed) -> tf.data.Dataset[tf.Tensor]:
    """Shuffle within chunks of records, by stateless random numbers only."""

    def shuffle(number: tf.Tensor, chunk_of_records: tf.Tensor) -> tf.Tensor:
        own = fold_in(tf.constant(seed, tf.int64), number)
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
