from __future__ import annotations

from mlflow import MlflowClient

from flow_models import commands
from flow_models.registry.promotion import numbered, promote, register_version
from flow_models.registry.tracking import experiment_id
from flow_models.registry.watching import RUNS, last_drift, record_drift
from flow_models.settings import Settings

NAME = "flow-models"


def test_the_status_has_the_last_runs_with_their_versions_and_the_drift_that_any_machine_found(
    client: MlflowClient,
) -> None:
    experiment = experiment_id(client, "image_anomaly")
    runs = [client.create_run(experiment, start_time=1000 * number).info.run_id for number in range(1, RUNS + 3)]
    client.set_terminated(runs[-1], "KILLED")
    model = client.create_logged_model(experiment, source_run_id=runs[-2])
    client.finalize_logged_model(model.model_id, "READY")
    version = register_version(client, NAME, model_uri=model.model_uri, run_id=runs[-2], tags={})
    promote(client, NAME, by="Ada", reason="a trial")
    found = {"at": "2026-11-01 02:00 UTC", "images": 36, "data": "abc", "reasons": ["brightness", "width"]}
    assert last_drift(version) is None
    record_drift(client, NAME, version, {**found, "source": "data"})

    status = commands.status(Settings())

    assert list(status["runs"]) == runs[:1:-1]
    assert status["runs"][runs[-1]] == {"state": "KILLED", "started": "1970-01-01 00:00 UTC", "version": None}
    assert status["runs"][runs[-2]]["version"] == version.number
    assert status["drift"] == found
    record_drift(client, NAME, version, {**found, "reasons": []})
    assert last_drift(numbered(client, NAME, version.number)) == {**found, "reasons": ["none"]}
