from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_models.data.duplicates import NEAR_BITS, NONE, Twins, find_twins

RANDOM = np.random.default_rng(5)


def twins_of(folder: Path, contents: np.ndarray, looks: np.ndarray, train: int, **columns: object) -> Twins:
    """Of a manifest whose first ``train`` rows are of train/; hashes are ``(n, 32)`` bytes."""
    table = pa.table(
        {
            "split": ["train" if row < train else "val" for row in range(len(contents))],
            "sha256": [row.tobytes().hex() for row in contents],
            "phash": [row.tobytes().hex() for row in looks],
            "error": pa.nulls(len(contents), pa.string()),
        }
        | columns
    )
    pq.write_table(table, folder / "manifest.parquet")
    with pq.ParquetFile(folder / "manifest.parquet") as file:
        return find_twins(file)


def hashes(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 32)).astype(np.uint8)


def flipped(look: np.ndarray, bits: int) -> np.ndarray:
    which = RANDOM.choice(256, bits, replace=False)
    return look ^ np.packbits(np.isin(np.arange(256), which))


def test_the_same_content_is_a_leak_across_splits_and_a_duplicate_inside(tmp_path: Path) -> None:
    contents = hashes(8)
    contents[[2, 5, 6]] = contents[0]
    contents[7] = contents[4]
    twins = twins_of(tmp_path, contents, hashes(8), train=4)
    assert twins.duplicate.tolist() == [NONE, NONE, 0, NONE, NONE, NONE, NONE, 4]
    assert twins.leak.tolist() == [NONE, NONE, NONE, NONE, NONE, 0, 0, NONE]


@pytest.mark.parametrize("bits", [1, 4, 7])
def test_what_differs_in_up_to_seven_bits_is_always_found(tmp_path: Path, bits: int) -> None:
    looks = hashes(400)
    for row in range(200):
        looks[200 + row] = flipped(looks[row], bits)
    twins = twins_of(tmp_path, hashes(400), looks, train=200)
    assert twins.near_leak[200:].tolist() == list(range(200))
    assert (twins.near_duplicate == NONE).all()


def test_most_of_what_differs_in_ten_bits_is_found_and_nothing_beyond(tmp_path: Path) -> None:
    looks = hashes(800)
    for row in range(200):
        looks[400 + row] = flipped(looks[row], NEAR_BITS)
        looks[600 + row] = flipped(looks[200 + row], NEAR_BITS + 1)
    twins = twins_of(tmp_path, hashes(800), looks, train=800)
    assert (twins.near_duplicate[400:600] != NONE).mean() > 0.85
    assert (twins.near_duplicate[600:] == NONE).all()


def test_what_is_unreadable_or_has_no_hash_is_compared_with_nothing(tmp_path: Path) -> None:
    contents, looks = hashes(4), hashes(4)
    contents[:], looks[:] = contents[0], looks[0]
    twins = twins_of(
        tmp_path, contents, looks, train=2, error=["bad", None, "bad", None], phash=pa.nulls(4, pa.string())
    )
    assert twins.leak.tolist() == [NONE, NONE, NONE, 1]
    assert (twins.near_leak == NONE).all()


def test_a_hundred_thousand_pictures_that_share_a_part_take_no_longer(tmp_path: Path) -> None:
    looks = hashes(100_000)
    looks[:, :16] = 0
    start = time.process_time()
    twins = twins_of(tmp_path, hashes(100_000), looks, train=50_000)
    assert time.process_time() - start < 10
    assert (twins.near_leak == NONE).all()
