"""What a stage measured, in the shapes that Prefect's pages show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def metrics_table(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a number of metrics.json, nested names joined by dots."""
    return [{"metric": name, "value": value} for name, value in _numbers(metrics, "")]


def summary(registered: Mapping[str, Any], report: Path) -> str:
    """Markdown: the version, whether the gate let it through and why, and where the report lies.

    Args:
        registered: the content of registered.json: name, version, alias, reasons.
        report: the HTML page on the worker's disk.
    """
    lines = [
        f"**{registered['name']} version {registered['version']}** is {registered['alias']}.",
        "",
        *(f"- {reason}" for reason in registered["reasons"]),
        "",
        f"Report, on the worker's machine: [{report.name}]({report.resolve().as_uri()})",
    ]
    return "\n".join(lines)


def outcome(registered: Mapping[str, Any]) -> str:
    """What became of a version, in one line with its address; ``registered`` as for ``summary``."""
    name, version = registered["name"], registered["version"]
    return f"{name}: version {version} is {registered['alias']} (models:/{name}/{version})"


def aliases_text(name: str, status: Mapping[str, Any]) -> str:
    """Markdown: which version of a model has which alias, and what the gate said of it.

    Args:
        name: of the registered model.
        status: the result of ``flow-models status``.
    """
    rows = [
        f"| {alias} | {version['version']} | {version.get('gate') or ''} | {version.get('promoted') or ''} |"
        for alias, version in status.items()
        if isinstance(version, Mapping) and "version" in version
    ]
    return "\n".join([f"**{name}**", "", "| alias | version | gate | promoted |", "|---|---:|---|---|", *rows])


def most_outlying(scores: pd.DataFrame, number: int) -> list[dict[str, Any]]:
    """The rows with the highest ``score``, as JSON has them: numbers to four digits, no NaN.

    Args:
        scores: what ``flow-models score`` writes, a row an image.
        number: of rows, at most.
    """
    first = [name for name in ("key", "score", "p_value", "outlier") if name in scores]
    top = scores.sort_values("score", ascending=False, kind="stable").head(number)[first]
    return [{str(name): _cell(value) for name, value in row.items()} for row in top.astype(object).to_dict("records")]


def _cell(value: Any) -> Any:
    if value != value or value is None:  # noqa: PLR0124 - a NaN is not itself
        return None
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _numbers(metrics: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value
