"""The gate before training: Great Expectations over the manifest in batches, its Data Docs, the quarantine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from flow_models.data.atomic import complete_folder
from flow_models.data.duplicates import find_twins
from flow_models.data.manifest import open_manifest, source_of
from flow_models.errors import FlowModelsError
from flow_models.settings import ValidationSettings
from flow_models.validation.checkpoint import Checkpoint, Validation
from flow_models.validation.expectations import (
    COLUMNS,
    Named,
    Row,
    classes_of,
    expectations_on_classes,
    expectations_on_images,
    table_of,
)
from flow_models.validation.profile import Profile, write_profile
from flow_models.validation.quarantine import QUARANTINE, quarantine

ROWS = 200_000  # at once: what bounds the memory
PROFILE = "profile.json"
_SHOWN = 3  # offending files named in a line


def validate(
    manifest: Path, settings: ValidationSettings, *, docs: Path, accepted: Profile | None = None
) -> Validation:
    """Check a manifest and write the findings.

    Args:
        manifest: of :func:`flow_models.data.manifest.write_manifest`.
        settings: bounds, and what only warns.
        docs: replaced by the Data Docs (``index.html``), ``quarantine.csv``, which lists the files that
            are unreadable or refused, with their reasons, and ``profile.json``, what the set is like.
        accepted: what the set was like that was accepted last, to compare with.

    Raises:
        FlowModelsError: if ``warn_only`` names an unknown expectation, or there is no manifest.
    """
    images, classes = expectations_on_images(settings), expectations_on_classes(settings)
    _require_known(settings.warn_only)
    with open_manifest(manifest) as file, complete_folder(docs) as unfinished:
        source = source_of(file)
        checkpoint = Checkpoint(unfinished, row_name="key")
        findings = {each.name: Finding(each) for each in [*images, *classes]}
        profile = Profile(source)
        with quarantine(unfinished) as put:
            for table in _tables(file):
                refused = _note(images, checkpoint.run("images", images, table), findings)
                put((unescape(key), "; ".join(reasons)) for key, reasons in refused.items())
                profile.add(table, set(refused))
        _note(classes, checkpoint.run("classes", classes, classes_of(profile, accepted)), findings)
        checkpoint.write_docs()
        write_profile(profile, unfinished / PROFILE)
    return _gate(list(findings.values()), settings, source=source, listed=docs / QUARANTINE)


@dataclass
class Finding:
    """What all batches together say of one expectation.

    Attributes:
        asked: the expectation.
        broken: rows that break it.
        judged: rows that it applies to.
        held: of an expectation on the table: whether it holds.
        first: the first of the rows that break it.
    """

    asked: Named
    broken: int = 0
    judged: int = 0
    held: bool = True
    first: list[Row] = field(default_factory=list)

    def add(self, result: Any) -> None:
        """Take Great Expectations' result for one more batch into account."""
        if self.asked.finding is None:
            self.held &= result.success
            return
        found = result.result
        self.broken += found["unexpected_count"]
        self.judged += found["element_count"] - found.get("missing_count", 0)
        self.first = (self.first + found["unexpected_index_list"][:_SHOWN])[:_SHOWN]

    @property
    def success(self) -> bool:
        """Whether at most the tolerated share breaks it."""
        return self.held and self.broken <= self.asked.tolerated * self.judged + 1e-9

    def line(self, prefix: str) -> str:
        """The first places, how they break it, what it asks and what to do."""
        finding = self.asked.finding
        places = [f"{prefix}{shown(unescape(row['key']))}: {finding(row)}" for row in self.first] if finding else []
        more = self.broken - len(places)
        where = ", ".join(places) + (f" and {more} more; " if more else "; " if places else "")
        return f"{where}{self.asked.rule}; {self.asked.advice}"


def shown(key: str) -> str:
    """A key in one line, whatever stands in it."""
    return key if key.isprintable() else key.encode("unicode_escape").decode("ascii")


def _tables(file: pq.ParquetFile) -> Iterator[pd.DataFrame]:
    twins = find_twins(file)
    keys = file.read(["key"])["key"]
    start = 0
    for batch in file.iter_batches(ROWS, columns=COLUMNS):
        yield table_of(batch, keys, twins, start=start)
        start += len(batch)


def _note(suite: Sequence[Named], results: Mapping[str, Any], findings: Mapping[str, Finding]) -> dict[str, list[str]]:
    """Add the results to the findings; the reasons for each row that is refused, by its key."""
    refused: dict[str, list[str]] = {}
    for each in suite:
        findings[each.name].add(results[each.name])
        if each.refuses and each.finding:
            for row in results[each.name].result["unexpected_index_list"]:
                refused.setdefault(row["key"], []).append(each.finding(row))
    return dict(sorted(refused.items()))


def _gate(findings: Sequence[Finding], settings: ValidationSettings, *, source: str, listed: Path) -> Validation:
    # Great Expectations fails a checkpoint for a warning too, so what only warns is settled here.
    errors: list[str] = []
    warnings: list[str] = []
    prefix = f"{source}/" if source else ""
    for each in findings:
        if not each.success:
            line = each.line(prefix)
            if each.asked.refuses:
                line += f"; all are listed in {listed}"
            (warnings if each.asked.name in settings.warn_only else errors).append(line)
    tolerated = sum(each.broken for each in findings if each.asked.refuses and each.success)
    if tolerated:
        warnings.append(f"{tolerated} files are unreadable or blank and left out; see {listed}")
    return Validation(not errors, errors, warnings)


def _require_known(names: Sequence[str]) -> None:
    every = [*expectations_on_images(ValidationSettings()), *expectations_on_classes(ValidationSettings())]
    known = [each.name for each in every]
    for name in names:
        if name not in known:
            raise FlowModelsError(f"validation.warn_only: unknown expectation {name!r}; known here: {', '.join(known)}")
