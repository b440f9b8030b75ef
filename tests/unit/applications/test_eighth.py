"""An eighth application: nothing but this file makes it, and the pipeline runs it from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from flow_models import commands, data_stages, stages
from flow_models.applications import find_application
from flow_models.applications.base import Evaluation
from flow_models.applications.sources import rows
from flow_models.applications.vectors import VectorApplication
from flow_models.data.tables import Columns, Rows, read_table
from flow_models.errors import UnavailableError
from flow_models.model import FlowModel
from flow_models.registry.unfinished import REGISTRATION
from flow_models.report.page import Headline
from flow_models.settings import Settings


class Beacon:
    """Where is a ship whose distance to a beacon is known?"""

    columns = Columns(x=("east (km)", "north (km)"), y=("distance (km)",))

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        rng = np.random.default_rng([seed, stream])
        x = rng.standard_normal([number, 2])
        return rows(x, y=np.hypot(x[:, :1], x[:, 1:]) + 0.1 * rng.standard_normal([number, 1]))


class BeaconLocation(VectorApplication):
    name = "test_eighth"

    def source(self, settings: Settings) -> Beacon:  # noqa: ARG002 - there is one source only
        return Beacon()

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        test = read_table(settings.prepared_folder).rows("test")
        loss = float(-np.asarray(model.log_prob(test.x, test.y)).mean())
        headline = Headline("fresh positions", f"{loss:.2f}", "nats")
        return Evaluation("Beacon", "Measured.", {"negative_log_likelihood": loss}, {}, [headline], [])


APPLICATION = BeaconLocation()


@pytest.fixture(autouse=True)
def _forget_the_registry() -> Iterator[None]:
    yield
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize("conditioning", ["context", "parts"])
def test_an_application_of_ones_own_goes_through_the_pipeline(
    conditioning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = small(conditioning)
    assert data_stages.simulate(settings).rows == 450
    assert stages.train(settings).epochs == 2
    assert np.isfinite(stages.evaluate(settings)["negative_log_likelihood"])
    if conditioning == "context":  # MLflow takes seconds; a model of parts is packaged alike
        break_off_a_registration(settings, monkeypatch)
        registered = stages.register(settings)
        assert (registered.name, registered.version, registered.alias) == ("beacon", 1, "champion")
        assert (tmp_path / "reports/test_eighth/report.html").is_file()
        break_off_at_the_end(registered)
        assert stages.register(settings) == registered
        assert_that_a_worse_model_stays_challenger(settings)


def break_off_a_registration(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow goes away when the version is there and the gate has not decided."""

    def away(*_: object) -> None:
        raise UnavailableError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "_decide", away)
        with pytest.raises(UnavailableError):
            stages.register(settings)


def break_off_at_the_end(registered: stages.Registered) -> None:
    """It is champion, but nobody noted that nothing is left to do."""
    MlflowClient().delete_model_version_tag(registered.name, str(registered.version), REGISTRATION)


def assert_that_a_worse_model_stays_challenger(settings: Settings) -> None:
    """Whatever its metrics say: they are those of the champion here, and the bounds let it through."""
    history = (settings.model_folder / "history.csv").read_text()
    lesson = find_application(settings.application).learn(settings)
    mistaken, (x, y) = lesson.blueprint.build(), lesson.data.holdout
    mistaken.initialise(100 * x, y)  # metres for hectometres
    mistaken.save(settings.model_folder)
    (settings.model_folder / "history.csv").write_text(history)
    registered = stages.register(settings)
    assert (registered.version, registered.alias, registered.passed) == (2, "challenger", False)
    (failed,) = [reason for reason in registered.reasons if reason.startswith("failed")]
    assert "nats against the champion, version 1, 95% interval" in failed
    assert "passed: inputs are those of the champion, version 1" in registered.reasons

    champion, challenger = (commands.status(settings)[alias] for alias in ("champion", "challenger"))
    assert (champion["version"], champion["gate"]) == (1, "passed")
    assert champion["promoted"].endswith(" by gate: passed the gate")
    assert (challenger["version"], challenger["gate"], challenger["promoted"]) == (2, "failed", None)


def small(conditioning: str) -> Settings:
    return Settings.model_validate(
        {
            "application": "tests.unit.applications.test_eighth",
            "simulation": {"train": 400, "test": 50},
            "partition": {"conditioning": conditioning},
            "model": {"architecture": "realnvp", "layers": 2, "hidden": [8]},
            "train": {"epochs": 2, "batch_size": 100, "precision": "float32"},
            "register": {"name": "beacon", "gate": {"negative_log_likelihood": {"max": 1000.0}}},
        }
    )
