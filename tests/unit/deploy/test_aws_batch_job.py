"""What the job does to params.yaml before it runs the pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.aws_batch import job
from flow_models.errors import FlowModelsError
from flow_models.settings import load_settings

PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(PARAMS, tmp_path))


def test_a_change_is_read_as_yaml_and_the_rest_stays(params: Path) -> None:
    before = load_settings(params)
    job.change_settings(["data.source=s3://pictures/cats", "data.inliers=[cat]", "train.minutes=null"], params=params)
    after = load_settings(params)
    assert after.data.source == "s3://pictures/cats"
    assert after.data.inliers == ["cat"]
    assert after.train.minutes is None
    assert after.model == before.model


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("train.epochs", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("seed.more=3", "seed is no section"),
        ("train.epoch=3", "train.epoch: unknown key; did you mean epochs?"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_one_line(params: Path, change: str, line: str) -> None:
    with pytest.raises(FlowModelsError) as refused:
        job.change_settings([change], params=params)
    assert line in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ([], "register@image_anomaly"),
        (["--application", "gravity_inversion"], "register-vectors@gravity_inversion"),
    ],
)
def test_the_job_becomes_the_pipeline_of_one_application(
    asked: list[str], target: str, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.chdir(params.parent)
    monkeypatch.setattr("os.execv", lambda _program, command: ran.append(command))
    job.main([*asked, "--set", "seed=5"])
    assert ran[0][1:] == ["-m", "dvc", "repro", target]
    assert load_settings(params).seed == 5


def test_an_unknown_application_is_refused(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(params.parent)
    with pytest.raises(FlowModelsError, match=r"dvc\.yaml has no image_anomly; it has image_anomaly"):
        job.main(["--application", "image_anomly"])


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(FlowModelsError, match="only --application NAME and --set"):
        job.main(["--epochs", "3"])
