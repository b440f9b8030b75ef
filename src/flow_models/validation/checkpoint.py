"""A Great Expectations checkpoint over a table in memory, with its Data Docs in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from flow_models.validation.expectations import Named


@dataclass(frozen=True)
class Validation:
    """The outcome.

    Attributes:
        passed: no errors.
        errors: one line an expectation that stops the pipeline.
        warnings: one line an expectation in ``warn_only`` or a tolerated flaw.
    """

    passed: bool
    errors: list[str]
    warnings: list[str]


def run_suite(
    table: pd.DataFrame, suite: Sequence[Named], *, docs: Path, name: str, row_names: Sequence[str]
) -> dict[str, Any]:
    """Great Expectations' result of each expectation, by its name; the Data Docs are written on the way.

    Args:
        table: to check.
        suite: what is asked of it.
        docs: folder of the Data Docs.
        name: of the suite.
        row_names: columns by which a result names the rows that break an expectation.
    """
    context = _context(docs)
    batch = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    everything = batch.add_batch_definition_whole_dataframe("all")
    asked = gx.ExpectationSuite(name)
    for each in suite:
        each.expectation.meta = {"name": each.name}
        each.expectation.description = f"{each.name}: {each.rule}"
        asked.add_expectation(each.expectation)
    definition = gx.ValidationDefinition(name=name, data=everything, suite=context.suites.add(asked))
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[UpdateDataDocsAction(name="data docs")],
        result_format={"result_format": "SUMMARY", "unexpected_index_column_names": list(row_names)},
    )
    outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table})
    (run,) = outcome.run_results.values()
    return {result.expectation_config.meta["name"]: result for result in run.results}


def _context(docs: Path) -> EphemeralDataContext:
    """Great Expectations in memory and silent, with its site in a folder."""
    site = {
        "class_name": "SiteBuilder",
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "show_how_to_buttons": False,
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"validation": site},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(project_config=config, mode="ephemeral")
