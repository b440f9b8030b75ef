"""The images at the network's shape in a few large files, and what identifies them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from flow_models.data.atomic import complete_file, resumed_folder
from flow_models.data.cluster import Workers
from flow_models.data.digests import file_sha256
from flow_models.data.kept_pixels import KeptPixels
from flow_models.data.manifest import manifest_digest
from flow_models.data.packing import PackedFile, Packing, made_of, pack, packing_code, stored_name
from flow_models.data.planning import FilePlan, plan_files
from flow_models.data.sources import Source
from flow_models.errors import FlowModelsError

if TYPE_CHECKING:
    from flow_models.data.s3 import S3Source

Shape = tuple[int, int, int]
INDEX = "index.json"


@dataclass(frozen=True)
class SplitFiles:
    """One split: how many images of each class folder, sorted, and the files that hold them, in order."""

    classes: dict[str, int]
    files: list[PackedFile]

    @property
    def count(self) -> int:
        """Of all images."""
        return sum(self.classes.values())


@dataclass(frozen=True)
class Index:
    """What a folder of shards holds.

    Attributes:
        digest: SHA-256 over the shape and every file: the name of these data everywhere.
        manifest_digest: of the manifest that they were made from.
        shape: height, width, channels.
        classes: of ``train/``, sorted.
        inliers: the classes of ``val`` that count as normal, sorted.
        splits: ``train``, ``holdout`` (a share of ``train/`` kept from every gradient) and ``val``.
        location: where in S3 the files are, each under its SHA-256; None: beside the index.
        requester_pays: accept that S3 bills the requests there to whoever makes them.
    """

    digest: str
    manifest_digest: str
    shape: Shape
    classes: list[str]
    inliers: list[str]
    splits: dict[str, SplitFiles]
    location: str | None = None
    requester_pays: bool = False

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for split in self.splits.values() for file in split.files)


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
    store: S3Source | None = None,
    kept: KeptPixels | None = None,
    left_out: Collection[str] = (),
    workers: Workers | None = None,
) -> Index:
    """Read, decode, resize and pack every usable image of the manifest; the same bytes every time.

    A record is a ``tf.train.Example``: ``image`` (raw uint8, row by row), ``class``, ``key``. The
    holdout is chosen by a hash of the seed and the content, so copies of an image stay on one side
    and an image keeps its side when others are added. ``train`` lies in hashed order, the others by key.
    A file that the folder had before, and that would be made again of the same images, is kept; so is one
    that a run had finished which did not come to its end.

    Args:
        manifest: validated; rows with an ``error`` are left out.
        source: where the manifest was made from.
        folder: replaced as a whole at the end.
        shape: height, width, channels.
        holdout: share of ``train/``.
        seed: of holdout and order.
        inliers: normal classes; none named are those of ``train/``.
        megabytes: of records per file, about; a set of less than 16 files is cut into up to 16.
        store: gets the files; the folder then holds the index alone.
        kept: asked before the source.
        left_out: keys that validation refused.
        workers: who writes the files; None: this process. The bytes are the same.

    Raises:
        FlowModelsError: if an image differs from its row, an inlier class has no image in ``val``,
            too few images remain, or the files cannot be written.
    """
    usable = manifest[manifest["error"].isna() & ~manifest["key"].isin(list(left_out))]
    classes = sorted(set(usable.loc[usable["split"] == "train", "class"]))
    normal = sorted(set(inliers or classes))
    _require_inliers(normal, usable, source)
    plans = plan_files(usable, shape=shape, holdout=holdout, seed=seed, megabytes=megabytes)
    with resumed_folder(folder) as unfinished:
        shown = store.uri if store else str(folder)
        packing = Packing(source, kept, shape, unfinished.absolute(), store, shown=shown, code=packing_code())
        packed = _packed(packing, plans, _Earlier(folder, packing), workers or Workers())
        splits = {
            split: SplitFiles(_class_counts(files), [next(packed) for _ in files]) for split, files in plans.items()
        }
        index = Index(_digest(shape, splits), manifest_digest(manifest), shape, classes, normal, splits)
        if store:
            index = replace(index, location=store.uri, requester_pays=store.requester_pays)
        _require_files(unfinished, index)
        _remove_others(unfinished, index)
        (unfinished / INDEX).write_text(json.dumps(asdict(index), indent=2) + "\n", encoding="utf-8")
    return index


def read_index(folder: Path) -> Index:
    """What :func:`write_shards` left in a folder.

    Raises:
        FlowModelsError: if the folder is not one of shards, or a file is missing.
    """
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        splits = {
            name: SplitFiles(split["classes"], [PackedFile(**file) for file in split["files"]])
            for name, split in content.pop("splits").items()
        }
        index = Index(**content | {"shape": tuple(content["shape"]), "splits": splits})
    except FileNotFoundError:
        raise FlowModelsError(f"{folder / INDEX}: no such file; run `flow-models data shard` first") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FlowModelsError(f"{folder / INDEX}: not an index; run `flow-models data shard` again") from None
    if index.location is None:
        for path in (folder / file.name for split in splits.values() for file in split.files):
            if not path.is_file():
                raise FlowModelsError(f"{path}: missing; run `flow-models data shard` again")
    return index


def link(file: str | Path, other: str | Path) -> None:
    """Give a file another name; make it a copy where the disk cannot do that."""
    try:
        os.link(file, other)
    except OSError:
        shutil.copyfile(file, other)


class _Earlier:
    """Files that the last shards have, or a run that did not come to its end, and that would be made again the same."""

    def __init__(self, folder: Path, packing: Packing) -> None:
        self._folder, self._packing = folder, packing
        self._files: dict[str, PackedFile] = {}
        with suppress(FlowModelsError):
            index = read_index(folder)
            if index.location == (packing.store.uri if packing.store else None):
                self._files = {file.made_of: file for split in index.splits.values() for file in split.files}

    def take(self, plan: FilePlan) -> PackedFile | None:
        """The file as it was, in its new place; None if it must be made."""
        wanted, path = made_of(plan, self._packing.shape), self._packing.folder / plan.name
        file = self._begun(plan.name)
        if file is not None and file.made_of == wanted and self._whole(file, path):
            return file
        path.unlink(missing_ok=True)
        file = self._files.get(wanted)
        if file is None:
            return None
        if self._packing.store is None:
            with suppress(FileNotFoundError):
                link(self._folder / file.name, path)
        return replace(file, name=plan.name) if self._whole(file, path) else None

    def remember(self, file: PackedFile) -> None:
        """Say beside a file that is finished what it is: another run need not make it if this one is killed."""
        with complete_file(self._note(file.name)) as unfinished:
            unfinished.write_text(json.dumps(asdict(file)), encoding="utf-8")

    def _begun(self, name: str) -> PackedFile | None:
        try:
            return PackedFile(**json.loads(self._note(name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _note(self, name: str) -> Path:
        return self._packing.folder / f"{name}.json"

    def _whole(self, file: PackedFile, path: Path) -> bool:
        if self._packing.store is not None:
            return self._packing.store.holds(stored_name(file.sha256), file.size)
        return path.is_file() and file_sha256(path) == file.sha256


def _packed(
    packing: Packing, plans: Mapping[str, Sequence[FilePlan]], earlier: _Earlier, workers: Workers
) -> Iterator[PackedFile]:
    """Each planned file, written or kept."""
    asked: deque[tuple[FilePlan, PackedFile | None]] = deque()

    def missing() -> Iterator[list[FilePlan]]:
        for plan in chain(*plans.values()):
            asked.append((plan, earlier.take(plan)))
            yield [] if asked[-1][1] else [plan]

    images = sum(len(plan.rows) for plan in chain(*plans.values()))
    with tqdm(total=images, desc="packing", unit=" images", disable=None) as bar:
        for files in workers.map(partial(pack, packing), missing()):
            plan, old = asked.popleft()
            file = old or files[0]
            earlier.remember(file)
            yield file
            bar.update(len(plan.rows))


def _class_counts(plans: Sequence[FilePlan]) -> dict[str, int]:
    return dict(sorted(Counter(row.class_ for plan in plans for row in plan.rows).items()))


def _digest(shape: Shape, splits: Mapping[str, SplitFiles]) -> str:
    """The same whoever wrote the files, and in whatever order."""
    digest = hashlib.sha256(json.dumps(shape).encode())
    for name, split in splits.items():
        digest.update("\n".join([f"{name} {split.count}", *(file.sha256 for file in split.files), ""]).encode())
    return digest.hexdigest()


def _require_files(folder: Path, index: Index) -> None:
    """What workers wrote must be where this process looks."""
    written = [] if index.location else [file for split in index.splits.values() for file in split.files]
    for file in written:
        if not (folder / file.name).is_file():
            what = f"a worker wrote {file.name}, but not to this folder"
            raise FlowModelsError(f"{folder}: {what}; share it with data.cluster, or set data.shards to s3://…")


def _remove_others(folder: Path, index: Index) -> None:
    """What says what is finished, and what runs that were killed have left."""
    own = set() if index.location else {file.name for split in index.splits.values() for file in split.files}
    for path in folder.iterdir():
        if path.name not in own:
            path.unlink()


def _require_inliers(inliers: Sequence[str], usable: pd.DataFrame, source: Source) -> None:
    present = sorted(set(usable.loc[usable["split"] == "val", "class"]))
    for class_ in inliers:
        if class_ not in present:
            raise FlowModelsError(
                f"{source.uri}/val/{class_}: no images of this normal class; "
                f"add some, or name classes of val/ in data.inliers ({', '.join(present) or 'there are none'})"
            )
