"""The table of all images: one row each, written in batches and only for what has changed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from flow_models.data.atomic import complete_file
from flow_models.data.cluster import Workers
from flow_models.data.describe import SCHEMA, describe_all, describing_code
from flow_models.data.journal import Journal
from flow_models.data.kept_pixels import KeptPixels
from flow_models.data.sources import Entry, Source
from flow_models.errors import FlowModelsError

SPLITS = ("train", "val")
_OF_PANDAS = {"string": "str", "int64": "Int64", "double": "Float64", "bool": "boolean"}
DTYPES = {field.name: _OF_PANDAS[str(field.type)] for field in SCHEMA}
BATCH = 2_000  # rows that a killed run loses at most
_PIECES = 8  # of a batch, if other processes do the work
_LITTER = {"thumbs.db", "desktop.ini"}
_LISTED = pa.schema({"key": pa.string(), "bytes": pa.int64(), "stamp": pa.string()})
Row = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """What was written.

    Attributes:
        images: rows.
        digest: of :func:`manifest_digest`.
        read: files that were new or changed, and read.
    """

    images: int
    digest: str
    read: int


def build_manifest(source: Source, *, progress: bool) -> pd.DataFrame:
    """The manifest of a small set, in memory: see :func:`write_manifest`."""
    rows = [row for batch in _described(source, None, None, Workers(), progress=progress) for row, _ in batch]
    manifest = pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)
    manifest.attrs["source"] = source.uri
    return manifest


def write_manifest(
    source: Source,
    path: Path,
    *,
    journals: Path,
    kept: KeptPixels | None = None,
    workers: Workers | None = None,
    progress: bool = False,
) -> Summary:
    """Read every image that is new or has changed, and say of all what they are.

    Below ``train/<class>/`` and ``val/<class>/``, at any depth, everything is taken for an image,
    whatever its name: one that is none becomes a row with its reason, not a silent gap. Passed over
    are hidden files and folders (``.DS_Store``, ``._cat.jpg``), ``Thumbs.db``, ``desktop.ini``, and
    whatever lies outside ``train/`` and ``val/``.

    Args:
        source: where the images are.
        path: of the parquet file: rows sorted by key, columns as in ``SCHEMA``; the source's address
            in its metadata. The same images give the same bytes.
        journals: folder in which this source's earlier rows are remembered.
        kept: gets the pixels of what is read.
        workers: who reads; None: this process. The rows are the same.
        progress: show a bar, if on a terminal.

    Raises:
        FlowModelsError: if the source cannot be read, has no ``train/``, has an empty class
            folder, or a file beside the class folders.
    """
    images, read = 0, 0
    with Journal(journals / _journal_name(source), SCHEMA) as journal:
        for batch in _described(source, journal, kept, workers or Workers(), progress=progress):
            journal.append([row for row, _ in batch])
            images += len(batch)
            read += sum(fresh for _, fresh in batch)
        rows = journal.finish()
        digest = _copy(rows, path, source=source.uri)
    return Summary(images, digest, read)


def list_images(source: Source) -> pa.Table:
    """The images of ``train/`` and ``val/``, sorted by key; the rules are those of :func:`write_manifest`.

    Returns:
        Columns ``key``, ``bytes``, ``stamp``: a table takes a quarter of the memory of objects.
    """
    batches: list[pa.RecordBatch] = []
    images: list[Entry] = []
    folders: set[str] = set()
    with_images: set[str] = set()
    for split in SPLITS:
        for entry in source.list(f"{split}/"):
            folder = _class_folder(entry.key)
            if folder and folder not in folders and not passed_over(folder):
                folders.add(folder)
            if entry.key.endswith("/") or passed_over(entry.key):
                continue
            if folder is None:
                where = f"{source.uri}/{entry.key}"
                raise FlowModelsError(f"{where}: in no class folder; move it to one, or out of the data")
            with_images.add(folder)
            images.append(entry)
            if len(images) == 25 * BATCH:
                batches.append(_compact(images))
                images = []
    for folder in sorted(folders - with_images):
        raise FlowModelsError(f"{source.uri}/{folder}/: an empty class folder; put images there or remove it")
    if not any(folder.startswith("train/") for folder in with_images):
        raise FlowModelsError(f"{source.uri}: no images in train/; lay them out as train/<class>/… and val/<class>/…")
    return pa.Table.from_batches([*batches, _compact(images)], _LISTED)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read what :func:`write_manifest` wrote, columns as in ``DTYPES``; ``attrs["source"]`` is the source's address.

    Raises:
        FlowModelsError: if it is missing or damaged.
    """
    with open_manifest(path) as file:
        manifest = file.read().to_pandas().astype(DTYPES)
        manifest.attrs["source"] = source_of(file)
    return manifest


def open_manifest(path: Path) -> pq.ParquetFile:
    """The file, to be read in batches.

    Raises:
        FlowModelsError: if it is missing, damaged, or of an earlier version of this program.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; run `flow-models data validate` first") from None
    except (OSError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        raise FlowModelsError(f"{path}: damaged ({reason}); run `flow-models data validate` again") from None
    if not file.schema_arrow.equals(SCHEMA):
        raise FlowModelsError(f"{path}: its columns are of another version; run `flow-models data validate` again")
    return file


def source_of(file: pq.ParquetFile) -> str:
    """The address of the source that a manifest describes."""
    return (file.schema_arrow.metadata or {}).get(b"source", b"").decode()


def passed_over(key: str) -> bool:
    """Whether a file is hidden, or what an operating system leaves beside images."""
    hidden = "/." in f"/{key}" and any(part.startswith(".") and part not in {".", ".."} for part in key.split("/"))
    return hidden or key.rpartition("/")[2].lower() in _LITTER


def manifest_digest(manifest: pd.DataFrame) -> str:
    """SHA-256 over the sorted keys and contents: the same images, wherever they are kept, have the same one."""
    digest = hashlib.sha256()
    _note(digest, *zip(*sorted(zip(manifest["key"], manifest["sha256"].fillna(""), strict=True)), strict=True))
    return digest.hexdigest()


def _described(
    source: Source, journal: Journal | None, kept: KeptPixels | None, workers: Workers, *, progress: bool
) -> Iterator[list[tuple[Row, bool]]]:
    """Batches of rows with whether they were read anew."""
    listed = list_images(source)
    asked: deque[tuple[list[Entry], list[Row | None]]] = deque()  # what the workers were given, and what was known

    def changed() -> Iterator[list[Entry]]:
        for piece in listed.to_batches(max(BATCH // _PIECES, 1) if workers.elsewhere else BATCH):
            entries = [Entry(**row) for row in piece.to_pylist()]
            known = [journal.unchanged(entry) if journal else None for entry in entries]
            asked.append((entries, known))
            yield [entry for entry, row in zip(entries, known, strict=True) if row is None]

    batch: list[tuple[Row, bool]] = []
    with tqdm(total=len(listed), desc="reading", unit=" images", disable=None if progress else True) as bar:
        for rows in workers.map(partial(describe_all, source, kept, describing_code()), changed()):
            entries, known = asked.popleft()
            fresh = iter(rows)
            batch += [
                ((next(fresh) | {"stamp": entry.stamp}, True) if row is None else (row, False))
                for entry, row in zip(entries, known, strict=True)
            ]
            bar.update(len(entries))
            if len(batch) >= BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _compact(images: list[Entry]) -> pa.RecordBatch:
    columns = [[image.key for image in images], [image.bytes for image in images], [image.stamp for image in images]]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, _LISTED, strict=True)], schema=_LISTED)


def _copy(rows: Path, path: Path, *, source: str) -> str:
    """Write a journal's rows as a manifest, which knows nothing of stamps, and return its digest."""
    digest = hashlib.sha256()
    schema = SCHEMA.with_metadata({"source": source})
    with (
        pq.ParquetFile(rows) as file,
        complete_file(path) as unfinished,
        pq.ParquetWriter(unfinished, schema) as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=SCHEMA.names)
            writer.write_table(table.cast(schema))
            _note(digest, table["key"].to_pylist(), table["sha256"].fill_null("").to_pylist())
    return digest.hexdigest()


def _note(digest: Any, keys: Any = (), contents: Any = ()) -> None:
    for key, content in zip(keys, contents, strict=True):
        digest.update(f"{key}\0{content}\n".encode())


def _journal_name(source: Source) -> str:
    """Rows are remembered for one place, and as long as they would be made by the same code."""
    return hashlib.sha256(f"{source.place}\0{describing_code()}".encode()).hexdigest()[:16]


def _class_folder(key: str) -> str | None:
    """``train/cat`` of ``train/cat/`` and of ``train/cat/a/b.jpg``; None for what is in no class."""
    split, class_, *rest = [*key.split("/", 2), ""]
    return f"{split}/{class_}" if class_ and len(rest) > 1 else None
