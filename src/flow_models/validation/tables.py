"""The gate before training on vectors: is the table what its source promises?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd

from flow_models.data.atomic import complete_folder
from flow_models.data.tables import Columns, Table
from flow_models.validation.checkpoint import Checkpoint, Validation
from flow_models.validation.expectations import Named

# Compiled code may round otherwise from one run to the next.
_TOLERANCE = 1e-5


def validate(table: Table, again: Table, *, docs: Path) -> Validation:
    """Check a table and write the Data Docs.

    Args:
        table: finite, inside its support, each row once, and reproducible from its seed.
        again: the same table drawn again from the stored seed.
        docs: replaced by the Data Docs (``index.html``).
    """
    checked = table.frame.assign(row=np.arange(len(table.frame)), difference=_difference(table, again))
    suite = expectations(table.columns)
    with complete_folder(docs) as unfinished:
        checkpoint = Checkpoint(unfinished, row_name="row")
        results = checkpoint.run("tables", suite, checked)
        checkpoint.write_docs()
    errors = []
    for each in suite:
        result = results[each.name]
        if not result.success:
            errors.append(f"{_found(result.result)}{each.rule}; {each.advice}")
    return Validation(not errors, errors, warnings=[])


def expectations(columns: Columns) -> list[Named]:
    """What is asked of a table with these columns."""
    numbers = [*columns.x, *columns.noise, *columns.y]
    largest = float(np.finfo(np.float32).max)
    suite = [
        Named(
            f"finite {name}",
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=-largest, max_value=largest),
            f"{name} must be finite",
            "correct the simulator",
        )
        for name in numbers
    ]
    # Great Expectations leaves missing values out of every other question.
    suite += [
        Named(
            f"present {name}",
            gxe.ExpectColumnValuesToNotBeNull(column=name),
            f"{name} must be a number",
            "correct the simulator",
        )
        for name in numbers
    ]
    suite += [
        Named(
            f"support {name}",
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high),
            f"{name} must lie inside the prior's support, {low} to {high}",
            "correct the prior or its support",
        )
        for name, (low, high) in zip(columns.x, columns.support or (), strict=False)
        if low is not None or high is not None
    ]
    suite.append(_once(columns.x))
    suite.append(
        Named(
            "reproducible",
            gxe.ExpectColumnValuesToBeBetween(column="difference", max_value=_TOLERANCE),
            "drawn again from its seed, the table must be the same",
            "let the simulator draw from the generator that it is given, and from nothing else",
        )
    )
    return suite


def _once(names: Sequence[str]) -> Named:
    expectation = (
        gxe.ExpectCompoundColumnsToBeUnique(column_list=list(names))
        if len(names) > 1
        else gxe.ExpectColumnValuesToBeUnique(column=names[0])
    )
    return Named("duplicates", expectation, "no row of x may occur twice", "draw anew, or drop the copies")


def _difference(table: Table, again: Table) -> pd.Series[float] | float:
    """Of each row from the same row drawn again, in units of the column's deviation; infinite where there is none."""
    names = [*table.columns.x, *table.columns.noise, *table.columns.y]
    if len(again.frame) != len(table.frame):
        return float("inf")
    scale = table.frame[names].std().replace(0, 1)
    difference: pd.Series[float] = ((table.frame[names] - again.frame[names]).abs() / scale).max(axis=1)
    return difference


def _found(result: dict[str, Any]) -> str:
    """How many rows, and the first of them."""
    rows = result.get("unexpected_index_list") or []
    return f"row {rows[0]['row']} ({result['unexpected_count']} in all): " if rows else ""
