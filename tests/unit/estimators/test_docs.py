"""The tutorial does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

TUTORIAL = Path(__file__).parents[3] / "docs/estimators.md"


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec("\n".join(blocks), names)  # noqa: S102 - our own page
    assert (names["drawn"][:, 0] > 0).all()
    assert np.allclose(names["drawn"][:, 2] % 1, 0)
    assert names["again"].sample(1) == pytest.approx(names["density"].sample(1), rel=1e-4)
    assert names["decision"].tolist() == [-1]
    assert names["classifier"].score(names["measured"], names["species"]) > 0.94
    assert (abs(names["samples"]) < 1).all()
    assert names["report"]["coverage_error"] < 0.1
