from __future__ import annotations

from pathlib import Path

from flows.results import metrics_table, summary


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
