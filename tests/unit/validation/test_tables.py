from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flow_models.data.tables import Columns, Rows, Table, make_table
from flow_models.validation.checkpoint import Validation
from flow_models.validation.tables import validate

COLUMNS = Columns(x=("depth (km)", "b"), y=("y",), support=((0.0, 1.0), (None, None)))


def table(change: Callable[[pd.DataFrame], None] | None = None) -> Table:
    rng = np.random.default_rng(0)
    x, y = (rng.random([20, width]).astype(np.float32) for width in (2, 1))
    made = make_table({"train": Rows(x=x, noise=np.zeros([20, 0], np.float32), y=y)}, COLUMNS, seed=0)
    if change is not None:
        change(made.frame)
    return made


def check(tmp_path: Path, checked: Table, again: Table | None = None) -> Validation:
    return validate(checked, again or checked, docs=tmp_path / "docs")


def test_a_sound_table_passes_and_leaves_data_docs(tmp_path: Path) -> None:
    assert check(tmp_path, table()) == Validation(passed=True, errors=[], warnings=[])
    assert "html" in (tmp_path / "docs/index.html").read_text()


def missing(frame: pd.DataFrame) -> None:
    frame.loc[3, "b"] = np.nan


def infinite(frame: pd.DataFrame) -> None:
    frame.loc[3, "y"] = np.inf


def outside(frame: pd.DataFrame) -> None:
    frame.loc[3, "depth (km)"] = 1.5


def twice(frame: pd.DataFrame) -> None:
    frame.loc[3, ["depth (km)", "b"]] = frame.loc[4, ["depth (km)", "b"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (missing, r"^row 3 \(1 in all\): b must be a number"),
        (infinite, r"^row 3 \(1 in all\): y must be finite"),
        (outside, r"^row 3 \(1 in all\): depth \(km\) must lie inside the prior's support, 0.0 to 1.0"),
        (twice, r"^row 3 \(2 in all\): no row of x may occur twice"),
    ],
)
def test_a_flaw_is_caught_and_named(change: Callable[[pd.DataFrame], None], said: str, tmp_path: Path) -> None:
    outcome = check(tmp_path, table(change))
    assert not outcome.passed
    assert any(pd.Series(outcome.errors).str.contains(said)), outcome.errors


def drifted(frame: pd.DataFrame) -> None:
    frame.loc[5, "y"] += 0.01


def dropped(frame: pd.DataFrame) -> None:
    frame.drop(index=19, inplace=True)  # noqa: PD002 - the table keeps this very frame


@pytest.mark.parametrize("change", [drifted, dropped])
def test_rows_that_their_seed_does_not_give_again_are_caught(
    change: Callable[[pd.DataFrame], None], tmp_path: Path
) -> None:
    outcome = check(tmp_path, table(), table(change))
    assert [error.split("; ")[0].split(": ")[-1] for error in outcome.errors] == [
        "drawn again from its seed, the table must be the same"
    ]


def test_the_last_digit_may_differ_from_run_to_run(tmp_path: Path) -> None:
    def rounded(frame: pd.DataFrame) -> None:
        frame["y"] *= np.float32(1 + 1e-7)

    assert check(tmp_path, table(), table(rounded)).passed
