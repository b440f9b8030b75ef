"""Rows that need not fit into memory: of a parquet file, memory-mapped; a part of an array; and work by parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow_models.errors import FlowModelsError, extra_named

if TYPE_CHECKING:
    from pyarrow import Schema
    from pyarrow.parquet import ParquetFile

Arrays = tuple[NDArray[np.float32], ...]  # rows as a flow takes them, and their context if it has one

AT_ONCE = 2**15  # the couplings' networks hold some hundreds of numbers for each


@dataclass(frozen=True)
class Part:
    """Some rows of an array ``(n, ...)``, without a copy of them; ``which``: their numbers."""

    rows: NDArray[Any]
    which: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return (len(self.which), *self.rows.shape[1:])

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self.rows[self.which[key]])


Rows = NDArray[Any] | Part


def parts(rows: Rows) -> Iterator[NDArray[Any]]:
    """A few thousand rows after the other."""
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def by_parts(function: Callable[[NDArray[Any]], NDArray[np.float64]], rows: Rows) -> NDArray[np.float64]:
    """What a function of each row gives, ``(n, ...)``."""
    return np.concatenate([function(each) for each in parts(rows)])


def read_parquet(
    path: Path, columns: Sequence[str] | None = None, *, leaving: Sequence[str] = ()
) -> tuple[NDArray[Any], list[str]]:
    """The rows ``(n, p)`` of a file, mapped from a temporary file that goes with the array, and the columns' names.

    Args:
        path: of the file.
        columns: those to read, in this order; None for all, in that of the file.
        leaving: of all, those to leave out.

    Raises:
        FlowModelsError: if there is no such file, it is none of parquet, or ``pyarrow`` is not installed.
        ValueError: if a column is missing or holds no numbers, or there are no rows.
    """
    with _opened(path) as file:
        from pyarrow.types import is_boolean, is_floating, is_integer

        schema, number = file.schema_arrow, file.metadata.num_rows
        names = [name for name in schema.names if name not in leaving] if columns is None else list(columns)
        _refuse_missing(path, schema, [*names, *leaving])
        kinds = {name: schema.field(name).type for name in names}
        for name, kind in kinds.items():
            if not (is_integer(kind) or is_floating(kind) or is_boolean(kind)):
                raise ValueError(f"{path}: column {name!r} holds {kind}, not numbers; leave it out or encode it")
        if not number or not names:
            raise ValueError(f"{path}: has {number} rows of {len(names)} columns; there is nothing to learn from")
        dtype = np.result_type(np.float32, *(kind.to_pandas_dtype() for kind in kinds.values()))
        rows = np.memmap(TemporaryFile(), dtype, "w+", shape=(number, len(names)))  # noqa: SIM115 - the map keeps it open
        start = 0
        for batch in file.iter_batches(AT_ONCE, columns=names):
            for index, name in enumerate(names):
                rows[start : start + len(batch), index] = batch.column(name).to_numpy(zero_copy_only=False)
            start += len(batch)
    return rows, names


def read_column(path: Path, name: str) -> NDArray[Any]:
    """One column of a parquet file, ``(n,)``, of any type; raises what ``read_parquet`` raises."""
    with _opened(path) as file:
        _refuse_missing(path, file.schema_arrow, [name])
        column: NDArray[Any] = file.read([name]).column(name).to_numpy()
    return column


@contextmanager
def _opened(path: Path) -> Iterator[ParquetFile]:
    with extra_named("tables in parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise FlowModelsError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]})") from None
    with file:
        yield file


def _refuse_missing(path: Path, schema: Schema, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in schema.names:
            raise ValueError(f"{path}: has no column {name!r}; its columns: {', '.join(schema.names)}")
