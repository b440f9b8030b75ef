"""The gate before training: a Great Expectations checkpoint over the manifest, and its Data Docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from flow_models.data.atomic import complete_folder
from flow_models.errors import FlowModelsError
from flow_models.settings import ValidationSettings
from flow_models.validation.checkpoint import Validation, run_suite
from flow_models.validation.expectations import Named, expectations, table_of

NAMES = tuple(each.name for each in expectations(ValidationSettings()))
QUARANTINE = "quarantine.csv"
_SHOWN = 3  # offending files named in a line


def validate(manifest: pd.DataFrame, settings: ValidationSettings, *, docs: Path) -> Validation:
    """Check a manifest and write the findings.

    Args:
        manifest: of :func:`flow_models.data.manifest.build_manifest`.
        settings: bounds, and what only warns.
        docs: replaced by the Data Docs (``index.html``) and ``quarantine.csv``, which lists the
            unreadable files with their reasons.

    Raises:
        FlowModelsError: if ``warn_only`` names an unknown expectation.
    """
    for name in settings.warn_only:
        if name not in NAMES:
            raise FlowModelsError(f"validation.warn_only: unknown expectation {name!r}; known here: {', '.join(NAMES)}")
    suite = expectations(settings)
    table = table_of(manifest)
    with complete_folder(docs) as unfinished:
        results = run_suite(table, suite, docs=unfinished, name="images", row_names=["key"])
        unreadable = manifest.loc[manifest["error"].notna(), ["key", "error"]]
        unreadable.rename(columns={"error": "reason"}).to_csv(unfinished / QUARANTINE, index=False)
    return _gate(suite, results, table, settings, source=str(manifest.attrs.get("source", "")), docs=docs)


def _gate(
    suite: Sequence[Named],
    results: Mapping[str, Any],
    table: pd.DataFrame,
    settings: ValidationSettings,
    *,
    source: str,
    docs: Path,
) -> Validation:
    # Great Expectations fails a checkpoint for a warning too, so what only warns is settled here.
    errors: list[str] = []
    warnings: list[str] = []
    prefix = f"{source}/" if source else ""
    for each in suite:
        result = results[each.name]
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"expectation {each.name}: {result.exception_info['exception_message']}")
        if not result.success:
            line = f"{_found(each, result.result, prefix)}{each.rule}; {each.advice}"
            if each.name == "max_unreadable":
                line += f"; all are listed in {docs / QUARANTINE}"
            (warnings if each.name in settings.warn_only else errors).append(line)
    unreadable = int(table["error"].notna().sum())
    if unreadable and results["max_unreadable"].success:
        warnings.append(f"{unreadable} of {len(table)} files are unreadable and left out; see {docs / QUARANTINE}")
    return Validation(not errors, errors, warnings)


def _found(each: Named, result: Mapping[str, Any], prefix: str) -> str:
    """The first places where an expectation on rows is broken, and how; nothing for one on the table."""
    if each.finding is None:
        return ""
    rows = result["partial_unexpected_index_list"][:_SHOWN]
    places = [f"{prefix}{_folder(row['key']) if each.per_class else row['key']}: {each.finding(row)}" for row in rows]
    more = result["unexpected_count"] - len(places)
    return ", ".join(places) + (f" and {more} more; " if more else "; ")


def _folder(key: str) -> str:
    return "/".join(key.split("/")[:2]) + "/"
