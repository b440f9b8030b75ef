"""A training as MLflow sees it, in a real store."""

from __future__ import annotations

import csv
import json
import logging
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from flow_models.registry import live
from flow_models.registry.curves import log_rows
from flow_models.registry.live import LiveRun, open_run_of
from flow_models.registry.provenance import Provenance
from flow_models.registry.runs import log_run, training_parameters
from flow_models.settings import RegisterSettings, Settings
from flow_models.training.listeners import Listener, Row

MADE_FROM = Provenance(source="data", commit="abc", lock="1" * 64, data="2" * 32, manifest="3" * 64, shards="4" * 64)
ROWS: list[Row] = [
    {"epoch": epoch, "step": 10 * epoch, "holdout_bits_per_dim": 6.0 - epoch, "examples_per_second": 100.0}
    for epoch in (1, 2, 3, 4)
]
CHECKPOINTS = Path("checkpoints/run")


@pytest.fixture(autouse=True)
def every_epoch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SECONDS_BETWEEN", 0.0)


def listener() -> LiveRun:
    return LiveRun(experiment="image_anomaly", parameters=training_parameters(Settings()), checkpoints=CHECKPOINTS)


def write_history(rows: list[Row]) -> None:
    with (Settings().model_folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def train(follower: Listener, rows: list[Row], *, before: list[Row] | None = None, saved: bool = True) -> None:
    follower.on_start(before or [])
    for row in rows:
        follower.on_epoch(row)
    write_history([*(before or []), *rows])
    follower.on_end(Settings().model_folder if saved else None)


def the_run() -> str:
    return str(json.loads((Settings().model_folder / "run.json").read_text())["run_id"])


def curve(client: MlflowClient, run_id: str, name: str = "holdout_bits_per_dim") -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in client.get_metric_history(run_id, name)]


def test_an_epoch_is_in_the_store_before_the_next(client: MlflowClient) -> None:
    follower = listener()
    follower.on_start([])
    for done, row in enumerate(ROWS, start=1):
        follower.on_epoch(row)
        (run,) = client.search_runs([client.get_experiment_by_name("image_anomaly").experiment_id])
        assert run.info.status == "RUNNING"
        assert run.data.params["train.batch_size"] == "64"
        assert len(curve(client, run.info.run_id)) == done
    follower.on_end(None)
    assert client.get_run(run.info.run_id).info.status == "KILLED"


def test_the_machine_is_measured_too(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    follower = listener()
    follower.on_start([])
    run_id = json.loads((CHECKPOINTS / "run.json").read_text())["run_id"]
    deadline = time.monotonic() + 30
    while "system/cpu_utilization_percentage" not in client.get_run(run_id).data.metrics:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    follower.on_end(None)


def test_a_resumed_training_continues_its_run_and_no_epoch_stands_in_it_twice(client: MlflowClient) -> None:
    train(listener(), ROWS[:3], saved=False)
    train(listener(), ROWS[2:], before=ROWS[:2])  # the third epoch lay after the last checkpoint
    assert curve(client, the_run()) == [(10, 5.0), (20, 4.0), (30, 3.0), (40, 2.0)]


def test_registration_logs_into_the_run_of_the_training(client: MlflowClient) -> None:
    train(listener(), ROWS)
    run_id = log_run(client, Settings(), MADE_FROM)
    assert run_id == the_run()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["register.name"] == "flow-models"
    assert run.data.metrics["bits_per_dim"] == pytest.approx(4.4)
    assert len(curve(client, run_id)) == len(ROWS)


def test_what_the_store_missed_is_sent_by_the_registration(client: MlflowClient) -> None:
    train(listener(), ROWS)
    run_id = the_run()
    fresh = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
    log_rows(client, fresh, ROWS[:2])
    (Settings().model_folder / "run.json").write_text(json.dumps({"run_id": fresh}))
    assert log_run(client, Settings(), MADE_FROM) == fresh
    assert curve(client, fresh) == curve(client, run_id)


def test_a_model_that_is_registered_again_has_a_new_run(client: MlflowClient) -> None:
    train(listener(), ROWS)
    first = log_run(client, Settings(), MADE_FROM)
    client.create_registered_model("flow-models")
    client.create_model_version("flow-models", source=client.get_run(first).info.artifact_uri, run_id=first)
    second = log_run(client, Settings(), MADE_FROM)
    assert second != first
    assert curve(client, second) == curve(client, first)


def test_a_registration_with_other_settings_than_an_attempt_before_has_a_new_run(client: MlflowClient) -> None:
    train(listener(), ROWS)
    first = log_run(client, Settings(), MADE_FROM)
    renamed = Settings(register=RegisterSettings(name="other"))
    assert log_run(client, Settings(), MADE_FROM) == first
    assert log_run(client, renamed, MADE_FROM) != first


def test_a_model_that_comes_from_another_store_has_a_new_run(client: MlflowClient) -> None:
    (Settings().model_folder / "run.json").write_text(json.dumps({"run_id": "0" * 32}))
    assert open_run_of(client, Settings().model_folder, {}) is None
    assert client.get_run(log_run(client, Settings(), MADE_FROM)).info.status == "FINISHED"


def test_a_store_that_is_away_is_one_warning_and_training_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    caplog.set_level(logging.WARNING)
    train(listener(), ROWS)
    (warning,) = (each.getMessage() for each in caplog.records)
    assert warning.startswith("follow the training in MLflow: no answer from http://127.0.0.1:9; start the server")
    assert warning.endswith("training goes on without, and `register` sends its curves")
    assert not (Settings().model_folder / "run.json").exists()


def test_a_store_that_is_away_when_a_training_goes_on_gets_the_rest_when_it_is_registered(
    client: MlflowClient, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(listener(), ROWS[:2], saved=False)
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        store = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        train(listener(), ROWS[2:], before=ROWS[:2])
        mlflow.set_tracking_uri(store)
    assert log_run(client, Settings(), MADE_FROM) == the_run()
    assert [step for step, _ in curve(client, the_run())] == [10, 20, 30, 40]


def test_a_store_that_goes_away_while_training_is_one_warning_too(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("the database is gone")

    with monkeypatch.context() as away:
        follower = listener()
        follower.on_start([])
        follower.on_epoch(ROWS[0])
        away.setattr(live, "log_rows", refuse)
        caplog.set_level(logging.WARNING)
        for row in ROWS[1:]:
            follower.on_epoch(row)
        follower.on_end(Settings().model_folder)
    (warning,) = (each.getMessage() for each in caplog.records)
    assert "the database is gone; training goes on" in warning
    write_history(ROWS)
    assert curve(client, log_run(client, Settings(), MADE_FROM))[-1] == (40, 2.0)
