"""The files that validation refuses, with their reasons: kept out of the shards, and deleted nowhere."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_models.errors import FlowModelsError

QUARANTINE = "quarantine.csv"


@contextmanager
def quarantine(folder: Path) -> Iterator[Callable[[Iterable[tuple[str, str]]], None]]:
    """Yield what writes pairs of key and reason into a folder's ``quarantine.csv``."""
    with (folder / QUARANTINE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "reason"])
        yield table.writerows


def read_quarantine(folder: Path) -> list[str]:
    """The keys in a folder's ``quarantine.csv``.

    Raises:
        FlowModelsError: if there is none.
    """
    try:
        with (folder / QUARANTINE).open(encoding="utf-8", newline="") as file:
            return [row["key"] for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise FlowModelsError(f"{folder / QUARANTINE}: no such file; run `flow-models data validate` first") from None
