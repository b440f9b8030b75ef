from __future__ import annotations

import math
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flow_models.errors import FlowModelsError
from flow_models.registry.provenance import Provenance
from flow_models.registry.runs import log_run, parameters, read_metrics
from flow_models.settings import Settings

MADE_FROM = Provenance(
    source="data", commit="abc", lock="1" * 64, data="2" * 32 + ".dir", manifest="3" * 64, shards="4" * 64
)


def test_a_run_holds_parameters_metrics_curves_report_data_and_tags(client: MlflowClient) -> None:
    run_id = log_run(client, Settings(), MADE_FROM)

    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.batch_size"] == "64"
    assert run.data.params["register.name"] == "flow-models"
    assert run.data.metrics["bits_per_dim"] == pytest.approx(4.4)
    assert run.data.metrics["auroc.ball _red_.likelihood"] == pytest.approx(0.9)
    assert [(each.step, each.value) for each in client.get_metric_history(run_id, "train_bits_per_dim")] == [
        (10, 5.0),
        (20, 4.0),
    ]
    assert len(client.get_metric_history(run_id, "holdout_bits_per_dim")) == 1
    assert {each.path for each in client.list_artifacts(run_id, "report")} == {
        "report/figures",
        "report/metrics.json",
        "report/report.html",
    }
    assert [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs] == [
        ("data", MADE_FROM.data)
    ]
    assert run.data.tags["validation"] == "passed"
    assert MADE_FROM.tags().items() <= run.data.tags.items()


def test_the_store_lies_in_the_project(client: MlflowClient, project: Path) -> None:
    log_run(client, Settings(), MADE_FROM)
    assert (project / "mlflow.db").is_file()
    assert list((project / "mlartifacts").rglob("report.html"))


def test_a_model_that_was_not_evaluated_is_refused(client: MlflowClient) -> None:
    (Settings().report_folder / "metrics.json").unlink()
    with pytest.raises(FlowModelsError, match="evaluate the model first"):
        log_run(client, Settings(), MADE_FROM)


def test_metrics_are_read_by_their_flat_names(project: Path) -> None:
    metrics = read_metrics(Settings().report_folder / "metrics.json")
    assert math.isnan(metrics.pop("auroc.noise.likelihood"))  # could not be computed
    assert metrics == {"bits_per_dim": 4.4, "auroc.ball (red).likelihood": 0.9}


def test_lists_and_empty_sections_are_parameters_too() -> None:
    found = parameters(Settings())
    assert found["evaluate.temperatures"] == "[0.5, 0.7, 1.0]"
    assert found["register.gate"] == "{}"
