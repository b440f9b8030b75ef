"""One file of the shards: its images read, decoded, resized and written, wherever that is done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import tensorflow as tf

from flow_models.data.cache import Cache
from flow_models.data.errors import UnreadableError
from flow_models.data.images import decode, pillow_silenced
from flow_models.data.parallel import ordered_map
from flow_models.data.planning import FilePlan, Row
from flow_models.data.sources import Source
from flow_models.errors import FlowModelsError

if TYPE_CHECKING:
    from flow_models.data.s3 import S3Source


@dataclass(frozen=True)
class Packing:
    """What all files have in common; can be pickled.

    Attributes:
        source: of the images.
        cache: asked before the source.
        shape: height, width, channels.
        folder: that gets the files, by an absolute path.
        store: gets the files instead, under their SHA-256.
        shown: what the user calls the place that gets them.
    """

    source: Source
    cache: Cache | None
    shape: tuple[int, int, int]
    folder: Path
    store: S3Source | None
    shown: str


@dataclass(frozen=True)
class PackedFile:
    """A file that was written.

    Attributes:
        name: as planned.
        sha256: of the file.
        size: in bytes.
        records: the SHA-256 of each record, one after the other.
    """

    name: str
    sha256: str
    size: int
    records: bytes


def pack(packing: Packing, plans: Sequence[FilePlan]) -> list[PackedFile]:
    """Write files; each appears complete or not at all.

    Raises:
        FlowModelsError: if an image differs from its row, or a file cannot be written.
    """
    if packing.store is None:
        return [_write(packing, plan, packing.folder / plan.name) for plan in plans]
    packed = []
    for plan in plans:
        with TemporaryDirectory(prefix="flow-models-") as folder:
            path = Path(folder) / plan.name
            packed.append(_write(packing, plan, path))
            packing.store.put(stored_name(packed[-1].sha256), path)
    return packed


def stored_name(sha256: str) -> str:
    """The key of a file in a store: a file that is there is the right one."""
    return f"{sha256}.tfrecord"


def _write(packing: Packing, plan: FilePlan, path: Path) -> PackedFile:
    # A name of its own: a cluster may give a piece to a second worker while the first still writes.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    with pillow_silenced():
        images = ordered_map(
            partial(_record, packing), plan.rows, threads=packing.source.threads, title="", progress=False
        )
        try:
            records = _write_records(images, unfinished)
            with unfinished.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = unfinished.stat().st_size
            unfinished.replace(path)
        except tf.errors.OpError as error:
            what = f"cannot be written ({error.message.split(';')[-1].strip()}); make room and run this again"
            raise FlowModelsError(f"{packing.shown}: {what}") from None
        finally:
            images.close()
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
    return PackedFile(plan.name, sha256, size, records)


def _write_records(records: Iterable[bytes], path: Path) -> bytes:
    digests = bytearray()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
            digests += hashlib.sha256(record).digest()
    return bytes(digests)


def _record(packing: Packing, row: Row) -> bytes:
    """One image, read again and packed."""
    source, cache = packing.source, packing.cache
    where = f"{source.uri}/{row.key}"

    def download() -> bytes:
        return source.read(row.key, version=row.version).data

    try:
        content = cache.fetch(row.sha256, download) if cache else download()
        if hashlib.sha256(content).hexdigest() != row.sha256:
            raise FlowModelsError(f"{where}: changed since it was validated; run `flow-models data validate` again")
        image = decode(content, packing.shape)
    except UnreadableError as error:
        raise FlowModelsError(f"{where}: {error}; repair or remove it and validate again") from None
    features = {"image": image.tobytes(), "class": row.class_.encode(), "key": row.key.encode()}
    example = tf.train.Example(features=tf.train.Features(feature={name: _bytes(features[name]) for name in features}))
    record: bytes = example.SerializeToString(deterministic=True)
    return record


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
