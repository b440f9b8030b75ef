"""Tables of vectors: what an application without images learns from, in one parquet file and its description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.data.atomic import complete_folder
from flow_models.errors import FlowModelsError

TABLE = "table.parquet"
DESCRIPTION = "table.json"
SPLITS = ("train", "holdout", "test")
Support = Sequence[tuple[float | None, float | None]]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are.

    Attributes:
        x: what is modelled.
        noise: ε, what an observation has beside the noise-free answer to x.
        y: what is known of x: observations.
        classes: names of the classes that the column ``label`` numbers.
        support: lower and upper bound of each column of x, None where there is none.
    """

    x: Sequence[str]
    noise: Sequence[str] = ()
    y: Sequence[str] = ()
    classes: Sequence[str] = ()
    support: Support | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a table as arrays.

    Attributes:
        x: ``(n, p)``.
        noise: ``(n, k)``, k = 0 where there is none.
        y: ``(n, m)``, m = 0 where nothing is known.
        labels: ``(n,)``, classes by number; None in a table without.
    """

    x: NDArray[np.float32]
    noise: NDArray[np.float32]
    y: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Table:
    """A table with the seed that it came from.

    Attributes:
        frame: the columns of ``columns``, ``label`` where there are classes, and ``split``.
        columns: which is which.
        seed: from which the source draws the same rows again.
    """

    frame: pd.DataFrame
    columns: Columns
    seed: int

    def rows(self, split: str) -> Rows:
        """Those of ``train``, ``holdout`` or ``test``."""
        part = self.frame[self.frame["split"] == split]
        x, noise, y = (
            part[list(names)].to_numpy(np.float32) for names in (self.columns.x, self.columns.noise, self.columns.y)
        )
        labels = part["label"].to_numpy(np.int64) if self.columns.classes else None
        return Rows(x=x, noise=noise, y=y, labels=labels)

    @property
    def digest(self) -> str:
        """sha256 over columns and rows."""
        digest = hashlib.sha256(json.dumps(asdict(self.columns)).encode())
        for name in self.frame:
            values = self.frame[name]
            content = values.to_numpy() if values.dtype.kind in "fiu" else "\n".join(values).encode()
            digest.update(str(name).encode() + b"\0" + (content if isinstance(content, bytes) else content.tobytes()))
        return digest.hexdigest()


def make_table(splits: dict[str, Rows], columns: Columns, *, seed: int) -> Table:
    """Rows by split as one table."""
    names = [*columns.x, *columns.noise, *columns.y]
    parts = []
    for split, rows in splits.items():
        part = pd.DataFrame(np.hstack([rows.x, rows.noise, rows.y]), columns=names)
        if columns.classes:
            part["label"] = rows.labels
        parts.append(part.assign(split=split))
    return Table(pd.concat(parts, ignore_index=True), columns, seed)


def write_table(table: Table, folder: Path) -> None:
    """Write the table and its description, replacing the folder when both are whole."""
    description = {"seed": table.seed, "digest": table.digest, **asdict(table.columns)}
    with complete_folder(folder) as unfinished:
        table.frame.to_parquet(unfinished / TABLE, index=False)
        (unfinished / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def read_table(folder: Path) -> Table:
    """Read what ``write_table`` wrote.

    Raises:
        FlowModelsError: if there is no table, or it is damaged.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        frame = pd.read_parquet(folder / TABLE)
        columns = Columns(**{name: description[name] for name in ("x", "noise", "y", "classes", "support")})
        table = Table(frame, columns, description["seed"])
    except FileNotFoundError:
        raise FlowModelsError(f"{folder}: no table; run `flow-models data simulate` first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FlowModelsError(f"{folder}: not a table ({error}); run `flow-models data simulate` again") from None
    if table.digest != description["digest"]:
        raise FlowModelsError(f"{folder}: changed since it was written; run `flow-models data simulate` again")
    return table
