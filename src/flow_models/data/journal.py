"""What was read before, kept batch by batch: unchanged files are not read again, and a killed run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from flow_models.data.atomic import complete_file
from flow_models.data.sources import Entry
from flow_models.errors import FlowModelsError

Row = dict[str, Any]
PARTS_A_GROUP = 25  # of a finished file: its row groups are 25 batches long


class Journal:
    """Rows of a manifest with the stamps of their files, in the order of the keys.

    A batch is a file of its own until the run is finished: then all of them are one. A context that
    keeps other processes out.

    Args:
        folder: its own; may be deleted whenever nobody uses it.
        schema: of the rows; a column ``stamp`` is kept beside them.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema.append(pa.field("stamp", pa.string()))
        self._lock = FileLock(folder / "lock")
        self._finished = folder / "rows.parquet"
        self._parts = folder / "parts"
        self._written = 0
        self._known: Iterator[Row] = iter(())
        self._next: Row | None = None

    def __enter__(self) -> Journal:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise FlowModelsError(f"{self._folder}: another run is reading this source; wait for its end") from None
        if self._parts.exists():
            self._keep_what_a_killed_run_left()
        self._known = self._rows()
        self._next = next(self._known, None)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def unchanged(self, entry: Entry) -> Row | None:
        """The row of a file whose content is as it was; None if it must be read. Ask in the order of the keys."""
        while self._next is not None and self._next["key"] < entry.key:
            self._next = next(self._known, None)
        row = self._next
        if row is None or row["key"] != entry.key or row["sha256"] is None or entry.stamp is None:
            return None
        return row if (row["stamp"], row["bytes"]) == (entry.stamp, entry.bytes) else None

    def append(self, rows: Sequence[Row]) -> None:
        """Keep the next batch, whatever happens after."""
        with complete_file(self._parts / f"{self._written:07d}.parquet") as unfinished:
            pq.write_table(pa.Table.from_pylist(list(rows), self._schema), unfinished)
        self._written += 1

    def finish(self) -> Path:
        """Make one file of the batches: what the next run compares with."""
        with complete_file(self._finished) as unfinished, pq.ParquetWriter(unfinished, self._schema) as writer:
            for group in self._groups():
                writer.write_table(group)
        shutil.rmtree(self._parts, ignore_errors=True)
        return self._finished

    def _rows(self) -> Iterator[Row]:
        for batch in self._batches():
            yield from batch.to_pylist()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """What the last finished run knew; nothing if that cannot be read, since all of it can be had again."""
        try:
            file = pq.ParquetFile(self._finished)
        except (OSError, pa.ArrowInvalid):
            return
        with file:
            yield from file.iter_batches(10_000)

    def _groups(self) -> Iterator[pa.Table]:
        paths = sorted(self._parts.glob("*.parquet"))
        for start in range(0, len(paths), PARTS_A_GROUP):
            yield pa.concat_tables([pq.read_table(path) for path in paths[start : start + PARTS_A_GROUP]])

    def _keep_what_a_killed_run_left(self) -> None:
        """Its batches first, then what earlier runs knew of the keys after them."""
        last = None
        with complete_file(self._finished) as unfinished, pq.ParquetWriter(unfinished, self._schema) as writer:
            for group in self._groups():
                writer.write_table(group)
                last = group["key"][-1]
            for batch in self._batches():
                writer.write_batch(batch if last is None else batch.filter(pc.greater(batch["key"], last)))
        shutil.rmtree(self._parts, ignore_errors=True)
