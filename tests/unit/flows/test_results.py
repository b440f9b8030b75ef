from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd

from flows.results import aliases_text, metrics_table, most_outlying, outcome, summary


def test_every_number_of_the_metrics_has_a_row() -> None:
    metrics = {"bits_per_dim": 3.5, "auroc": {"ball": {"likelihood": 0.9, "typicality": None}}, "temperatures": [1]}
    assert metrics_table(metrics) == [
        {"metric": "bits_per_dim", "value": 3.5},
        {"metric": "auroc.ball.likelihood", "value": 0.9},
        {"metric": "auroc.ball.typicality", "value": None},
    ]


def test_the_summary_says_what_became_of_the_version_and_why(tmp_path: Path) -> None:
    registered = {"name": "flow-models", "version": 3, "alias": "challenger", "reasons": ["failed: bits_per_dim 9"]}
    text = summary(registered, tmp_path / "report.html")
    assert "**flow-models version 3** is challenger." in text
    assert "- failed: bits_per_dim 9" in text
    assert f"({(tmp_path / 'report.html').as_uri()})" in text


def test_the_outcome_is_a_line_with_the_versions_address() -> None:
    registered = {"name": "flow-models", "version": 7, "alias": "champion", "reasons": []}
    assert outcome(registered) == "flow-models: version 7 is champion (models:/flow-models/7)"


def test_the_aliases_are_rows_with_what_the_gate_said() -> None:
    status = {
        "champion": {"version": 3, "gate": "failed", "promoted": "today by anna: the better hands"},
        "challenger": {"version": 4, "gate": None},
        "data": "abc",
    }
    lines = aliases_text("flow-models", status).splitlines()
    assert lines[-2:] == ["| champion | 3 | failed | today by anna: the better hands |", "| challenger | 4 |  |  |"]


def test_the_most_outlying_images_come_first_and_are_plain_json() -> None:
    scores = pd.DataFrame(
        {
            "key": ["a", "b", "c"],
            "score": [1.0, 3.14159265, math.nan],
            "p_value": [0.5, 0.01, math.nan],
            "outlier": [False, True, False],
            "likelihood": [1.0, 2.0, 3.0],
        }
    )
    top = most_outlying(scores, 2)
    assert top == [
        {"key": "b", "score": 3.142, "p_value": 0.01, "outlier": True},
        {"key": "a", "score": 1.0, "p_value": 0.5, "outlier": False},
    ]
    assert json.loads(json.dumps(most_outlying(scores, 3)))[-1]["score"] is None
