from pathlib import Path
from typing import Any

import pytest
import yaml

from flow_models.applications import known_applications
from flows.pipeline import stages_of

PIPELINE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("application", known_applications())
def test_every_application_goes_through_stages_that_dvc_has(application: str) -> None:
    stages = stages_of(application)
    for stage in stages:
        name, _, item = stage.partition("@")
        assert item in PIPELINE[name].get("matrix", {"application": [""]})["application"]
    assert stages[-1].startswith("register")
