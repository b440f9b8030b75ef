import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flow_models.applications import find_application, known_applications
from flow_models.applications.base import Evaluation
from flow_models.errors import FlowModelsError
from flow_models.report.page import Picture, Section, Verdict
from flow_models.settings import Settings, load_settings


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


@pytest.mark.parametrize("name", known_applications())
def test_params_yaml_has_settings_for_every_application(name: str) -> None:
    settings = load_settings(Path(__file__).parents[3] / "params.yaml", application=name)
    assert find_application(settings.application).name == settings.label == name


def test_an_unknown_application_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        FlowModelsError,
        match=r"there is no image_anomoly; known: distribution_mapping, gravity_inversion, image_anomaly",
    ):
        find_application("image_anomoly")
