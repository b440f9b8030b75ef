"""The tutorials do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

PAGES = Path(__file__).parents[3] / "docs/estimators"


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    """MLflow keeps what it is given in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def density(names):
    assert (names["drawn"][:, 0] > 0).all()
    assert np.allclose(names["drawn"][:, 2] % 1, 0)
    assert names["again"].sample(1) == pytest.approx(names["density"].sample(1), rel=1e-4)


def outlier_detector(names):
    assert names["decision"].tolist() == [-1]


def classifier(names):
    assert names["classifier"].score(names["measured"], names["species"]) > 0.94


def posterior(names):
    assert (abs(names["samples"]) < 1).all()
    assert sorted(names["of_joint"].parameter_names_) == ["deviation", "mean"]
    assert names["tree"]["posterior"].sizes == {"chain": 1, "draw": 1000}
    assert names["report"]["coverage_error"] < 0.1


def in_mlflow(names):
    assert list(names["answers"]) == ["class", "p_0", "p_1", "p_2", "log_prob"]
    assert (names["the_same"].predict(names["measured"]) == names["answers"]["class"]).all()


SHOWN = {
    "density.md": density,
    "outlier_detector.md": outlier_detector,
    "classifier.md": classifier,
    "posterior.md": posterior,
    "mlflow.md": in_mlflow,
}


def test_every_page_is_run():
    assert {page.name for page in PAGES.iterdir()} == set(SHOWN)


@pytest.mark.usefixtures("own_store")
@pytest.mark.parametrize("page", SHOWN)
def test_a_tutorial_runs_and_shows_what_it_says(page):
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)  # noqa: S102 - our own page
    SHOWN[page](names)
