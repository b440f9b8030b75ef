"""The images at the network's shape in a few large files, and what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import tensorflow as tf

from flow_models.data.atomic import complete_folder
from flow_models.data.cache import Cache
from flow_models.data.images import pillow_silenced
from flow_models.data.manifest import manifest_digest
from flow_models.data.parallel import ordered_map
from flow_models.data.pixels import pixels
from flow_models.data.sources import Source
from flow_models.errors import FlowModelsError

Shape = tuple[int, int, int]
INDEX = "index.json"


@dataclass(frozen=True)
class SplitFiles:
    """One split: how many images, and the files that hold them, in order."""

    count: int
    files: list[str]


@dataclass(frozen=True)
class Index:
    """What a folder of shards holds.

    Attributes:
        digest: SHA-256 over the shape and every record: the name of these data everywhere.
        manifest_digest: of the manifest that they were made from.
        shape: height, width, channels.
        classes: of ``train/``, sorted.
        inliers: the classes of ``val`` that count as normal, sorted.
        splits: ``train``, ``holdout`` (a share of ``train/`` kept from every gradient) and ``val``.
    """

    digest: str
    manifest_digest: str
    shape: Shape
    classes: list[str]
    inliers: list[str]
    splits: dict[str, SplitFiles]


def write_shards(  # noqa: PLR0913 - each is a fact of its own about the shards
    manifest: pd.DataFrame,
    source: Source,
    folder: Path,
    *,
    shape: Shape,
    holdout: float,
    seed: int,
    inliers: Sequence[str],
    megabytes: int,
    cache: Cache | None = None,
    left_out: Collection[str] = (),
) -> Index:
    """Read, decode, resize and pack every usable image of the manifest; the same bytes every time.

    A record is a ``tf.train.Example``: ``image`` (raw uint8, row by row), ``class``, ``key``. The
    holdout is chosen by a hash of the seed and the content, so copies of an image stay on one side
    and an image keeps its side when others are added. ``train`` lies in hashed order, the others by key.

    Args:
        manifest: validated; rows with an ``error`` are left out.
        source: where the manifest was made from.
        folder: replaced as a whole at the end.
        shape: height, width, channels.
        holdout: share of ``train/``.
        seed: of holdout and order.
        inliers: normal classes; none named are those of ``train/``.
        megabytes: of records per file, about.
        cache: asked before the source.
        left_out: keys that validation refused.

    Raises:
        FlowModelsError: if an image differs from its row, an inlier class has no image in ``val``,
            or too few images remain.
    """
    usable = manifest[manifest["error"].isna() & ~manifest["key"].isin(list(left_out))]
    classes = sorted(set(usable.loc[usable["split"] == "train", "class"]))
    normal = sorted(set(inliers or classes))
    _require_inliers(normal, usable, source)
    digest = hashlib.sha256(json.dumps(shape).encode())
    splits = {}
    with complete_folder(folder) as unfinished, pillow_silenced():
        for split, rows in _split(usable, holdout=holdout, seed=seed).items():
            images = ordered_map(
                partial(_record, source, cache, shape), rows, threads=source.threads, title=f"packing {split}"
            )
            digest.update(f"{split} {len(rows)}\n".encode())
            try:
                files = list(_write(images, unfinished, split, limit=megabytes * 2**20, note=digest.update))
            except tf.errors.OpError as error:
                what = f"cannot be written ({error.message.split(';')[-1].strip()}); make room and run this again"
                raise FlowModelsError(f"{folder}: {what}") from None
            splits[split] = SplitFiles(count=len(rows), files=files)
        index = Index(digest.hexdigest(), manifest_digest(manifest), shape, classes, normal, splits)
        (unfinished / INDEX).write_text(json.dumps(asdict(index), indent=2) + "\n", encoding="utf-8")
    return index


def read_index(folder: Path) -> Index:
    """What :func:`write_shards` left in a folder.

    Raises:
        FlowModelsError: if the folder is not one of shards, or a file is missing.
    """
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        splits = {name: SplitFiles(**split) for name, split in content.pop("splits").items()}
        index = Index(**content | {"shape": tuple(content["shape"]), "splits": splits})
    except FileNotFoundError:
        raise FlowModelsError(f"{folder / INDEX}: no such file; run `flow-models data shard` first") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FlowModelsError(f"{folder / INDEX}: not an index; run `flow-models data shard` again") from None
    for name in (file for split in splits.values() for file in split.files):
        if not (folder / name).is_file():
            raise FlowModelsError(f"{folder / name}: missing; run `flow-models data shard` again")
    return index


@dataclass(frozen=True)
class _Row:
    key: str
    class_: str
    sha256: str
    version: str | None


def _split(usable: pd.DataFrame, *, holdout: float, seed: int) -> dict[str, list[_Row]]:
    """The rows of each split in the order in which they are written."""
    rows: dict[str, list[_Row]] = {"train": [], "holdout": [], "val": []}
    known = usable.assign(version=usable["version"].astype(object).where(usable["version"].notna(), None))
    columns = (known[name].tolist() for name in ("split", "key", "class", "sha256", "version"))
    every = sorted(zip(*columns, strict=True), key=lambda row: str(row[1]))
    # Whatever the seed, one image is held out: with few images the share alone may choose none.
    first = min((_uniform(seed, sha256) for split, _, _, sha256, _ in every if split == "train"), default=0.0)
    for split, key, class_, sha256, version in every:
        held_out = split == "train" and _uniform(seed, sha256) <= max(holdout, first)
        rows["holdout" if held_out else split].append(_Row(key, class_, sha256, version))
    if not rows["train"]:
        raise FlowModelsError(f"train/ has {len(rows['holdout'])} usable images, too few to hold one out; add images")
    rows["train"].sort(key=lambda row: _uniform(seed, row.key))
    return rows


def _uniform(seed: int, text: str) -> float:
    """A number in [0, 1) that looks random and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big") / 2**64


def _require_inliers(inliers: Sequence[str], usable: pd.DataFrame, source: Source) -> None:
    present = sorted(set(usable.loc[usable["split"] == "val", "class"]))
    for class_ in inliers:
        if class_ not in present:
            raise FlowModelsError(
                f"{source.uri}/val/{class_}: no images of this normal class; "
                f"add some, or name classes of val/ in data.inliers ({', '.join(present) or 'there are none'})"
            )


def _record(source: Source, cache: Cache | None, shape: Shape, row: _Row) -> bytes:
    """One image, read again and packed."""
    image = pixels(source, cache, shape, key=row.key, sha256=row.sha256, version=row.version)
    features = {"image": image.tobytes(), "class": row.class_.encode(), "key": row.key.encode()}
    example = tf.train.Example(features=tf.train.Features(feature={name: _bytes(features[name]) for name in features}))
    record: bytes = example.SerializeToString(deterministic=True)
    return record


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _write(
    records: Iterable[bytes], folder: Path, split: str, *, limit: int, note: Callable[[bytes], object]
) -> Iterator[str]:
    """Fill files one after the other and yield their names; ``note`` is told every record."""
    writer, written, number = None, 0, 0
    for record in records:
        if writer is None or written > limit:
            if writer is not None:
                writer.close()
            name = f"{split}-{number:05d}.tfrecord"
            writer, written, number = tf.io.TFRecordWriter(str(folder / name)), 0, number + 1
            yield name
        writer.write(record)
        note(record)
        written += len(record)
    if writer is not None:
        writer.close()
