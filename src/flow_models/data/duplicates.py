"""The same picture twice: the same bytes, or nearly the same perceptual hash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

NEAR_BITS = 10  # of 256: see data.describe.perceptual_hash for what copies and strangers differ in
NONE = -1
_NEIGHBOURS = 8
_COMPARED = 1_000_000  # pairs at once
Rows = NDArray[np.int64]
Hashes = NDArray[np.uint8]


@dataclass(frozen=True)
class Twins:
    """For each row of a manifest another one with the same picture, or ``NONE``; each ``(n,)``.

    Attributes:
        duplicate: an earlier row of the same split with the same content.
        near_duplicate: an earlier row of the same split that looks the same.
        leak: for a row of ``val``, one of ``train`` with the same content.
        near_leak: for a row of ``val``, one of ``train`` that looks the same.
    """

    duplicate: Rows
    near_duplicate: Rows
    leak: Rows
    near_leak: Rows


def find_twins(manifest: pq.ParquetFile) -> Twins:
    """Compare all readable rows of a manifest, in time and memory that grow with their number.

    Two pictures look the same if at most 10 of the 256 bits of their hashes differ. Rows are compared
    that share one of eight parts of their hashes, each with its next eight in the sorted order: pairs
    that differ in up to 7 bits share a part for certain, and nine of ten of those that differ in 10.
    """
    held_back = pc.not_equal(manifest.read(["split"])["split"], "train").to_numpy()
    readable = pc.is_null(manifest.read(["error"])["error"]).to_numpy()
    none = np.full(len(readable), NONE, np.int64)
    twins = Twins(none, none.copy(), none.copy(), none.copy())
    contents, known = _bytes_of(manifest.read(["sha256"])["sha256"])
    _find_same(contents, np.flatnonzero(known & readable), held_back, twins)
    looks, known = _bytes_of(manifest.read(["phash"])["phash"])
    _find_near(looks, contents, np.flatnonzero(known & readable), held_back, twins)
    return twins


def _bytes_of(column: pa.ChunkedArray) -> tuple[Hashes, NDArray[np.bool_]]:
    """Hashes in hexadecimal as ``(n, 32)`` bytes, and where there is one."""
    known = pc.is_valid(column).to_numpy()
    content = b"".join(bytes.fromhex("".join(chunk.fill_null("0" * 64).to_pylist())) for chunk in column.chunks)
    return np.frombuffer(content, np.uint8).reshape(len(known), 32), known


def _find_same(contents: Hashes, rows: Rows, held_back: NDArray[np.bool_], twins: Twins) -> None:
    hashes = np.ascontiguousarray(contents[rows, :8]).view(np.uint64).ravel()
    order = rows[np.argsort(hashes, kind="stable")]
    same = (contents[order[1:]] == contents[order[:-1]]).all(axis=1)
    for group in np.split(order, np.flatnonzero(~same) + 1) if same.any() else []:
        if len(group) > 1:
            _mark(group, held_back, twins)


def _mark(group: Rows, held_back: NDArray[np.bool_], twins: Twins) -> None:
    """Rows of one content, in order."""
    train, val = group[~held_back[group]], group[held_back[group]]
    twins.duplicate[train[1:]] = train[:1]
    if len(train):
        twins.leak[val] = train[0]
    else:
        twins.duplicate[val[1:]] = val[0]


def _find_near(looks: Hashes, contents: Hashes, rows: Rows, held_back: NDArray[np.bool_], twins: Twins) -> None:
    parts = np.ascontiguousarray(looks).view(np.uint32)
    start = np.ascontiguousarray(looks[:, :8]).view(np.uint64).ravel()
    for part in range(parts.shape[1]):
        order = rows[np.lexsort((start[rows], parts[rows, part]))]
        for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            sharing = np.flatnonzero(parts[order[step:], part] == parts[order[:-step], part])
            for few in np.split(sharing, range(_COMPARED, len(sharing), _COMPARED)):
                _compare(order[few], order[few + step], looks, contents, held_back, twins)


def _compare(
    one: Rows, other: Rows, looks: Hashes, contents: Hashes, held_back: NDArray[np.bool_], twins: Twins
) -> None:
    near = np.bitwise_count(looks[one] ^ looks[other]).sum(axis=1) <= NEAR_BITS
    near &= (contents[one] != contents[other]).any(axis=1)
    first, second = np.minimum(one, other)[near], np.maximum(one, other)[near]
    across = held_back[first] != held_back[second]  # train comes first in a manifest, which is sorted by key
    twins.near_leak[second[across]] = first[across]
    twins.near_duplicate[second[~across]] = first[~across]
