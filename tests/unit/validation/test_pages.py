"""The Data Docs are Great Expectations' own, only sooner."""

from __future__ import annotations

import re
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pytest
from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import Environment

from flow_models.validation import pages
from flow_models.validation.checkpoint import Checkpoint
from flow_models.validation.expectations import Named

TABLE = pd.DataFrame({"key": ["a", "b"], "side": [1, 9]})
TIME = r"\d{4}-?\d\d-?\d\d[ T]?\d\d:?\d\d:?\d\d(\.\d+)?"
OF_THIS_RUN = re.compile(rf"{TIME}|\d{{10}}\.\d+|[0-9a-f]{{8}}(-?[0-9a-f]{{4}}){{3}}-?[0-9a-f]{{12}}")


def written(docs: Path) -> dict[str, str]:
    """Each page without what differs from run to run."""
    checkpoint = Checkpoint(docs, row_name="key")
    suite = [Named("min_side", gxe.ExpectColumnValuesToBeBetween(column="side", min_value=5), "", "")]
    checkpoint.run("images", suite, TABLE)
    checkpoint.write_docs()
    return {
        OF_THIS_RUN.sub("", path.relative_to(docs).as_posix()): OF_THIS_RUN.sub("", path.read_text())
        for path in docs.rglob("*.html")
    }


def test_the_pages_are_great_expectations_own_and_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = written(tmp_path / "ours")
    assert len(ours) == 3  # a suite, a result, the index
    with monkeypatch.context() as patch:
        patch.setattr(Environment, "compile", lambda *_, **__: pytest.fail("compiled again"))
        assert written(tmp_path / "again") == ours
    monkeypatch.setattr(pages.Page, "__init__", DefaultJinjaPageView.__init__)
    monkeypatch.setattr(pages.IndexPage, "__init__", DefaultJinjaIndexPageView.__init__)
    assert written(tmp_path / "theirs") == ours
