"""Every estimator logs to a real MLflow server, is registered when named, and is served by its pyfunc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import flow_models as fm
from flow_models.registry.promotion import status
from flow_models.registry.tracking import connect
from tests.unit.estimators.tiny import TINY

ROWS = np.random.default_rng(0).normal(size=(60, 2))
LABELS = np.where(ROWS[:, 0] > 0, "right", "left")
FRAME = pd.DataFrame(ROWS, columns=["depth", "age"])

FITTED = {
    "density": lambda: fm.FlowDensity(**TINY).fit(ROWS),
    "detector": lambda: fm.FlowOutlierDetector(**TINY).fit(FRAME),
    "classifier": lambda: fm.FlowClassifier(**TINY).fit(ROWS, LABELS),
    "posterior": lambda: fm.FlowPosterior(**TINY).fit(ROWS, FRAME),
}


@pytest.fixture
def client(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return connect()


def answers(estimator, rows):
    """What the pyfunc must say of the rows, by task; the first is the one that is meant if none is named."""
    match estimator:
        case fm.FlowDensity():
            drawn = pd.DataFrame(estimator.sample(3, random_state=7), columns=["x0", "x1"])
            return {"score": pd.DataFrame({"log_prob": estimator.score_samples(rows)}), "sample": drawn}
        case fm.FlowOutlierDetector():
            log_prob, p = estimator.score_samples(rows), estimator.p_values(rows)
            decided = estimator.predict(rows) == -1
            return {"score": pd.DataFrame({"log_prob": log_prob, "score": -log_prob, "p_value": p, "outlier": decided})}
        case fm.FlowClassifier():
            left, right = estimator.predict_proba(rows).T
            most = {"class": estimator.predict(rows), "p_left": left, "p_right": right}
            return {"score": pd.DataFrame({**most, "log_prob": estimator.score_samples(rows)})}
    drawn = estimator.sample(rows, 3, random_state=7).reshape(-1, 2)
    table = pd.DataFrame({"observation": np.repeat(np.arange(len(rows)), 3), "depth": drawn[:, 0], "age": drawn[:, 1]})
    return {"posterior": table, "mean": pd.DataFrame(estimator.predict(rows), columns=["depth", "age"])}


@pytest.mark.parametrize("kind", FITTED)
def test_an_estimator_is_registered_served_and_loaded_again(kind: str, client: MlflowClient) -> None:
    estimator, name = FITTED[kind](), f"estimator-{kind}"
    uri = fm.log_model(estimator, name=name)
    assert uri == f"models:/{name}/{status(client, name)['challenger'].number}"
    assert client.get_run(client.get_model_version(name, "1").run_id).data.metrics.keys() >= {"held_out_loss"}

    rows = FRAME[:4] if kind == "detector" else ROWS[:4]
    again = fm.load(uri)
    assert type(again) is type(estimator)
    served, expected = mlflow.pyfunc.load_model(uri), answers(again, rows)
    for task, table in expected.items():
        found = served.predict(rows, params={"task": task, "number": 3, "seed": 7})
        pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert list(served.predict(rows)) == list(next(iter(expected.values())))
    with pytest.raises(ValueError, match="task 'dream'"):
        served.predict(rows, params={"task": "dream"})

    version = Path(mlflow.artifacts.download_artifacts(uri))
    assert mlflow.models.Model.load(version).saved_input_example_info is not None
    assert (version / "code/flow_models/estimators/served.py").is_file()
    assert not [path for path in version.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}]


def test_a_flow_goes_into_the_active_run_and_is_served_as_well(client: MlflowClient) -> None:
    flow = fm.FlowModel("realnvp", {"features": 2, "layers": 2, "hidden": [8]})
    with mlflow.start_run() as run:
        uri = fm.log_model(flow)
        assert mlflow.active_run().info.run_id == run.info.run_id
    found = mlflow.pyfunc.load_model(uri).predict(ROWS.astype(np.float32))
    np.testing.assert_allclose(found["log_prob"], fm.load(uri).log_prob(ROWS), rtol=1e-5)
    assert mlflow.models.get_model_info(uri).run_id == run.info.run_id
