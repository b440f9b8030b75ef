"""Which image goes into which file of the shards, known before any is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import pandas as pd

from flow_models.errors import FlowModelsError

_FILES = 16  # at least, of a set that is large enough: so that several workers have something to do
_SMALLEST = 2**20  # bytes of a file that is worth its own
_OVERHEAD = 64  # bytes of a record beside pixels and names


@dataclass(frozen=True)
class Row:
    """An image that is to be packed."""

    key: str
    class_: str
    sha256: str
    version: str | None


@dataclass(frozen=True)
class FilePlan:
    """A file of the shards, and what it will hold, in order: a piece of work of its own."""

    name: str
    rows: Sequence[Row]


def plan_files(
    usable: pd.DataFrame, *, shape: tuple[int, int, int], holdout: float, seed: int, megabytes: int
) -> dict[str, list[FilePlan]]:
    """The files of ``train``, ``holdout`` and ``val``; a function of the arguments, not of who will write them.

    Raises:
        FlowModelsError: if ``train/`` has too few images to hold one out.
    """
    splits = _split(usable, holdout=holdout, seed=seed)
    sizes = {split: sum(_record_bytes(row, shape) for row in rows) for split, rows in splits.items()}
    limit = min(megabytes * 2**20, max(sum(sizes.values()) // _FILES, _SMALLEST))
    plans = {}
    for split, rows in splits.items():
        count = -(-sizes[split] // limit)
        # An image that comes or goes should change its own file alone.
        parts = _by_hash(rows, count, seed=seed) if split == "train" else _in_order(rows, count)
        plans[split] = [FilePlan(f"{split}-{number:05d}.tfrecord", part) for number, part in enumerate(parts)]
    return plans


def _split(usable: pd.DataFrame, *, holdout: float, seed: int) -> dict[str, list[Row]]:
    """The rows of each split in the order in which they are written."""
    rows: dict[str, list[Row]] = {"train": [], "holdout": [], "val": []}
    known = usable.assign(version=usable["version"].astype(object).where(usable["version"].notna(), None))
    columns = (known[name].tolist() for name in ("split", "key", "class", "sha256", "version"))
    every = sorted(zip(*columns, strict=True), key=lambda row: str(row[1]))
    # Whatever the seed, one image is held out: with few images the share alone may choose none.
    first = min((_uniform(seed, sha256) for split, _, _, sha256, _ in every if split == "train"), default=0.0)
    for split, key, class_, sha256, version in every:
        held_out = split == "train" and _uniform(seed, sha256) <= max(holdout, first)
        rows["holdout" if held_out else split].append(Row(key, class_, sha256, version))
    if not rows["train"]:
        raise FlowModelsError(f"train/ has {len(rows['holdout'])} usable images, too few to hold one out; add images")
    rows["train"].sort(key=lambda row: _uniform(seed, row.key))
    return rows


def _uniform(seed: int, text: str) -> float:
    """A number in [0, 1) that looks random and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big") / 2**64


def _record_bytes(row: Row, shape: tuple[int, int, int]) -> int:
    return prod(shape) + len(row.key.encode()) + len(row.class_.encode()) + _OVERHEAD


def _by_hash(rows: Sequence[Row], count: int, *, seed: int) -> list[Sequence[Row]]:
    """``count`` parts of rows in hashed order, but for the empty ones: each an equal share of all hashes."""
    parts: list[list[Row]] = [[] for _ in range(count)]
    for row in rows:
        parts[int(_uniform(seed, row.key) * count)].append(row)
    return [part for part in parts if part]


def _in_order(rows: Sequence[Row], count: int) -> list[Sequence[Row]]:
    """``count`` equal parts."""
    ends = [len(rows) * number // count for number in range(count + 1)] if count else [0]
    return [rows[start:end] for start, end in pairwise(ends)]
