"""Great Expectations in memory and silent, with its site in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from flow_models.validation import pages
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


class Checkpoint:
    """Runs suites on tables; each run is a page of the Data Docs, which are written when all is run.

    Args:
        docs: folder of the site.
        row_name: the column by which a result names the rows that break an expectation.
    """

    def __init__(self, docs: Path, *, row_name: str) -> None:
        page = {"module_name": pages.__name__, "class_name": pages.Page.__name__}
        index = {"module_name": pages.__name__, "class_name": pages.IndexPage.__name__}
        site = {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
            "site_section_builders": {
                "expectations": {"view": page},
                "validations": {"view": page},
                "profiling": "none",
            },
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "view": index},
            "show_how_to_buttons": False,
        }
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            data_docs_sites={"validation": site},
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
        self._context = gx.get_context(project_config=config, mode="ephemeral")
        self._source = self._context.data_sources.add_pandas("tables")
        self._row_name = row_name
        self._checkpoints: dict[str, gx.Checkpoint] = {}

    def run(self, name: str, suite: Sequence[Named], table: pd.DataFrame) -> dict[str, Any]:
        """Great Expectations' result of each expectation, by its name, with the rows that break it.

        Raises:
            RuntimeError: if an expectation cannot be evaluated.
        """
        checkpoint = self._checkpoints.get(name) or self._checkpoints.setdefault(name, self._made(name, suite))
        (run,) = checkpoint.run(batch_parameters={"dataframe": table}).run_results.values()
        for result in run.results:
            if result.exception_info.get("raised_exception"):
                which = result.expectation_config.meta["name"]
                raise RuntimeError(f"expectation {which}: {result.exception_info['exception_message']}")
        return {result.expectation_config.meta["name"]: result for result in run.results}

    def write_docs(self) -> None:
        """Write a page for each run and each suite, and their index."""
        self._context.build_data_docs()

    def _made(self, name: str, suite: Sequence[Named]) -> gx.Checkpoint:
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        asked = gx.ExpectationSuite(name)
        for each in suite:
            each.expectation.meta = {"name": each.name}
            each.expectation.description = f"{each.name}: {each.rule}"
            asked.add_expectation(each.expectation)
        definition = gx.ValidationDefinition(name=name, data=batch, suite=self._context.suites.add(asked))
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[self._context.validation_definitions.add(definition)],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [self._row_name]},
        )
        return self._context.checkpoints.add(checkpoint)
