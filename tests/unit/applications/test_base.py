import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flow_models.applications import APPLICATIONS
from flow_models.applications.base import Evaluation
from flow_models.report.page import Picture, Section, Verdict
from flow_models.settings import Settings


@pytest.fixture
def evaluation() -> Evaluation:
    section = Section("One", "Text.", pictures={"empty": Picture(Figure(figsize=(1, 1)), "Empty", "None.", "Nothing")})
    return Evaluation(
        title="Test",
        summary="Nothing was measured.",
        metrics={"auroc": {"noise": {"likelihood": 0.25}}},
        tables={"roc": pd.DataFrame({"set": ["noise"], "rate": [0.5]})},
        headlines=[],
        sections=[section],
    )


def test_an_evaluation_leaves_metrics_tables_and_figures(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write(tmp_path)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["figures/empty.png", "metrics.json", "plots/roc.csv"]
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == evaluation.metrics
    assert (tmp_path / "plots" / "roc.csv").read_text(encoding="utf-8") == "set,rate\nnoise,0.5\n"


def test_figures_of_an_earlier_evaluation_do_not_linger(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").touch()
    evaluation.write(tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["empty.png"]


def test_metrics_that_are_no_numbers_are_not_written(evaluation: Evaluation, tmp_path: Path) -> None:
    broken = Evaluation("", "", {"bits_per_dim": np.nan}, {}, [], evaluation.sections)
    with pytest.raises(ValueError, match="JSON"):
        broken.write(tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_the_page_has_the_settings_by_the_names_in_params_yaml(evaluation: Evaluation) -> None:
    page = evaluation.page(verdict=Verdict(passed=True, sentence="Good"), facts={}, settings=Settings())
    assert page.settings["register"]["name"] == "flow-models"
    assert page.metrics == evaluation.metrics


def test_every_application_of_the_settings_is_in_the_table() -> None:
    assert set(APPLICATIONS) == set(get_args(Settings.model_fields["application"].annotation))
