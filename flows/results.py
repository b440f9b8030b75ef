"""What a stage measured, in the shapes that Prefect's pages show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


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


def _numbers(metrics: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value
