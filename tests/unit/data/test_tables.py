from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow_models.data.tables import DESCRIPTION, TABLE, Columns, Rows, Table, make_table, read_table, write_table
from flow_models.errors import FlowModelsError

COLUMNS = Columns(
    x=("a", "b"), noise=("e",), y=("y (m)",), classes=("left", "right"), support=((0.0, None), (None,) * 2)
)


def some(number: int, *, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    x, noise, y = (rng.random([number, width]).astype(np.float32) for width in (2, 1, 1))
    return Rows(x=x, noise=noise, y=y, labels=rng.integers(2, size=number))


@pytest.fixture
def table() -> Table:
    splits = {name: some(number, seed=number) for name, number in (("train", 8), ("holdout", 3), ("test", 4))}
    return make_table(splits, COLUMNS, seed=7)


def test_a_table_is_read_as_it_was_written(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table")
    again = read_table(tmp_path / "table")
    assert again.frame.equals(table.frame)
    assert (again.seed, again.digest) == (7, table.digest)
    assert [tuple(each) for each in again.columns.support or ()] == [(0.0, None), (None, None)]


def test_each_split_has_its_rows_in_their_parts(table: Table) -> None:
    rows, expected = table.rows("holdout"), some(3, seed=3)
    assert len(rows) == 3
    for part in ("x", "noise", "y", "labels"):
        np.testing.assert_array_equal(getattr(rows, part), getattr(expected, part))
    assert rows.x.dtype == np.float32


def test_a_table_without_classes_has_no_labels() -> None:
    rows = some(4, seed=0)
    table = make_table({"train": replace(rows, labels=None)}, replace(COLUMNS, classes=()), seed=0)
    assert table.rows("train").labels is None


def test_the_digest_is_of_values_splits_and_columns(table: Table) -> None:
    changed = table.frame.copy()
    changed.loc[0, "a"] += np.float32(1e-3)
    moved = table.frame.copy()
    moved.loc[0, "split"] = "test"
    others = [
        replace(table, frame=changed),
        replace(table, frame=moved),
        replace(table, columns=replace(COLUMNS, support=None)),
    ]
    assert len({each.digest for each in [table, *others]}) == 4


def test_no_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match="no table; run `flow-models data simulate` first"):
        read_table(tmp_path)


def test_a_table_that_changed_is_refused(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table")
    changed = table.frame.copy()
    changed.loc[2, "b"] = 0.5
    changed.to_parquet(tmp_path / "table" / TABLE, index=False)
    with pytest.raises(FlowModelsError, match="changed since it was written"):
        read_table(tmp_path / "table")


@pytest.mark.parametrize("content", ["not json", "{}", json.dumps({"x": ["a"]}), "[]"])
def test_a_damaged_description_is_refused(content: str, table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table")
    (tmp_path / "table" / DESCRIPTION).write_text(content)
    with pytest.raises(FlowModelsError, match="not a table"):
        read_table(tmp_path / "table")
