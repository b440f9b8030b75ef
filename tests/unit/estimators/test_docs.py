"""The tutorial does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow
import numpy as np
import pytest

TUTORIAL = Path(__file__).parents[3] / "docs/estimators.md"


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    """MLflow keeps what it is given in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.mark.usefixtures("own_store")
def test_the_tutorial_runs():
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec("\n".join(blocks), names)  # noqa: S102 - our own page
    assert (names["drawn"][:, 0] > 0).all()
    assert np.allclose(names["drawn"][:, 2] % 1, 0)
    assert names["again"].sample(1) == pytest.approx(names["density"].sample(1), rel=1e-4)
    assert names["decision"].tolist() == [-1]
    assert names["classifier"].score(names["measured"], names["species"]) > 0.94
    assert list(names["answers"]) == ["class", "p_0", "p_1", "p_2", "log_prob"]
    assert (names["the_same"].predict(names["measured"]) == names["answers"]["class"]).all()
    assert (abs(names["samples"]) < 1).all()
    assert sorted(names["of_joint"].parameter_names_) == ["deviation", "mean"]
    assert names["tree"]["posterior"].sizes == {"chain": 1, "draw": 1000}
    assert names["report"]["coverage_error"] < 0.1
