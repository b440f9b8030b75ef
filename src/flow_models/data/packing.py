"""One file of the shards: its images read, decoded, resized and written, wherever that is done."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import tensorflow as tf

from flow_models.data import images, pixels
from flow_models.data.cluster import code_digest, require_same
from flow_models.data.digests import file_sha256
from flow_models.data.images import pillow_silenced
from flow_models.data.kept_pixels import KeptPixels, Pixels
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
        kept: asked before the source; gets what it did not have.
        shape: height, width, channels.
        folder: that gets the files, by an absolute path.
        store: gets the files instead, under their SHA-256.
        shown: what the user calls the place that gets them.
        code: of :func:`packing_code`: workers must pack as the one does who asks them.
    """

    source: Source
    kept: KeptPixels | None
    shape: tuple[int, int, int]
    folder: Path
    store: S3Source | None
    shown: str
    code: str


@dataclass(frozen=True)
class PackedFile:
    """A file that was written.

    Attributes:
        name: as planned.
        count: of its images.
        sha256: of the file.
        size: in bytes.
        made_of: of :func:`made_of`.
    """

    name: str
    count: int
    sha256: str
    size: int
    made_of: str


def pack(packing: Packing, plans: Sequence[FilePlan]) -> list[PackedFile]:
    """Write files; each appears complete or not at all.

    Raises:
        FlowModelsError: if an image differs from its row, a file cannot be written, or this is another version.
    """
    require_same(packing.code, packing_code())
    if packing.store is None:
        return [_write(packing, plan, packing.folder / plan.name) for plan in plans]
    packed = []
    for plan in plans:
        with TemporaryDirectory(prefix="flow-models-") as folder:
            path = Path(folder) / plan.name
            packed.append(_write(packing, plan, path))
            packing.store.put(stored_name(packed[-1].sha256), path)
    return packed


def made_of(plan: FilePlan, shape: tuple[int, int, int]) -> str:
    """A digest of all that a file's bytes follow from: images, shape, and the code that packs."""
    digest = hashlib.sha256(f"{shape}\0{packing_code()}\0".encode())
    for row in plan.rows:
        digest.update(f"{row.key}\0{row.class_}\0{row.sha256}\n".encode())
    return digest.hexdigest()


def packing_code() -> str:
    """A digest of what packs: as long as it is the same, so are the bytes."""
    return code_digest(images, pixels, sys.modules[__name__])


def stored_name(sha256: str) -> str:
    """The key of a file in a store: a file that is there is the right one."""
    return f"{sha256}.tfrecord"


def _write(packing: Packing, plan: FilePlan, path: Path) -> PackedFile:
    # A name of its own: a cluster may give a piece to a second worker while the first still writes.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    with pillow_silenced(), closing(_images(packing, plan.rows)) as found:
        try:
            with tf.io.TFRecordWriter(str(unfinished)) as writer:
                for row, image in zip(plan.rows, found, strict=True):
                    writer.write(_record(row, image))
            sha256 = file_sha256(unfinished)
            size = unfinished.stat().st_size
            unfinished.replace(path)
        except tf.errors.OpError as error:
            what = f"cannot be written ({error.message.split(';')[-1].strip()}); make room and run this again"
            raise FlowModelsError(f"{packing.shown}: {what}") from None
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
    return PackedFile(plan.name, len(plan.rows), sha256, size, made_of(plan, packing.shape))


def _images(packing: Packing, rows: Sequence[Row]) -> Generator[Pixels, None, None]:
    """Those of the rows, in order: as they were kept, or else read, many at once, and kept."""
    kept, read = packing.kept, partial(_pixels, packing)
    if kept is not None:
        kept.look()
    missing = [row for row in rows if kept is None or not kept.holds(row.sha256)]
    others = ordered_map(read, missing, threads=packing.source.threads, title="", progress=False)
    with closing(others), kept.keeping() if kept else nullcontext() as keep:
        for row in rows:
            if kept is not None and kept.holds(row.sha256):
                yield read(row)
                continue
            image = next(others)
            if keep is not None:
                keep(row.sha256, image)
            yield image


def _pixels(packing: Packing, row: Row) -> Pixels:
    return pixels.pixels(
        packing.source, packing.kept, packing.shape, key=row.key, sha256=row.sha256, version=row.version
    )


def _record(row: Row, image: Pixels) -> bytes:
    features = {"image": image.tobytes(), "class": row.class_.encode(), "key": row.key.encode()}
    example = tf.train.Example(features=tf.train.Features(feature={name: _bytes(features[name]) for name in features}))
    record: bytes = example.SerializeToString(deterministic=True)
    return record


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
