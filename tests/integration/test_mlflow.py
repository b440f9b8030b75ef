from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

import flow_models as fm
from flow_models.applications.image_scores import examine
from flow_models.errors import FlowModelsError
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.registry.load import resolve
from flow_models.registry.promotion import promote, rollback, status
from flow_models.registry.tracking import connect

SHAPE = (8, 8, 1)
NAME = "tiny"

# In a process of its own, as a stage runs: whatever MLflow prints would come between the progress bars.
REGISTER = """
import json
from pathlib import Path
import numpy as np
from flow_models.applications.image_scores import examine
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.model import FlowModel
from flow_models.registry.package import log_model
from flow_models.registry.promotion import register_version
from flow_models.registry.tracking import connect, experiment_id
from flow_models.saved_model import ImageServing, export

model = FlowModel("glow", {"image_shape": (8, 8, 1), "levels": 1, "steps": 2, "hidden_channels": 8, "seed": 0})
model.save("model")
images = np.random.default_rng(1).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
fitting, calibrating = (examine(model, each, noise_seed=3) for each in (images[:20], images[20:]))
score = OutlierScore.fit(fitting, calibrating, noise_seed=3)
score.save(Path("model"))
export(ImageServing(model, score), Path("serving"))
client, numbers = connect(), []
for _ in range(2):
    run_id = client.create_run(experiment_id(client, "image_anomaly")).info.run_id
    example = np.zeros((2, 8, 8, 1), np.uint8)
    uri = log_model(run_id, saved_model=Path("serving"), flow_model=Path("model"), example=example)
    version = register_version(client, "tiny", model_uri=uri, run_id=run_id, tags={"data.digest": "abc"})
    numbers.append(version.number)
print(json.dumps(numbers))
"""


@pytest.fixture(scope="module")
def versions(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Two versions of a model, registered at the server."""
    folder = tmp_path_factory.mktemp("project")
    done = subprocess.run(
        [sys.executable, "-c", REGISTER],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": mlflow_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mlflow" not in done.stderr
    assert not (folder / "mlflow.db").exists()
    return json.loads(done.stdout)


@pytest.fixture
def client(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return connect()


def test_versions_go_from_challenger_to_champion_and_back(client: MlflowClient, versions: list[int]) -> None:
    first, second = versions
    assert {alias: each.number for alias, each in status(client, NAME).items()} == {"challenger": second}
    promote(client, NAME, version=first, by="Ada", reason="the first")
    promote(client, NAME, by="Ada", reason="the second")
    found = status(client, NAME)
    assert {alias: each.number for alias, each in found.items()} == {
        "champion": second,
        "challenger": second,
        "previous": first,
    }
    assert found["champion"].tags["data.digest"] == "abc"
    assert found["champion"].tags["promoted.reason"] == "the second"
    assert rollback(client, NAME, by="Ada").number == first


def test_the_packaged_model_and_the_flow_in_it_agree(client: MlflowClient, versions: list[int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)
    uri = f"models:/{NAME}/{versions[0]}"
    scores = mlflow.pyfunc.load_model(uri).predict(images)
    flow = fm.load(uri)
    np.testing.assert_allclose(scores["log_prob"], flow.log_prob(fm.dequantise(images, seed=3)), rtol=1e-5)
    np.testing.assert_allclose(scores["bits_per_dim"], -scores["log_prob"] / (64 * np.log(2)), rtol=1e-6)
    score, statistics = OutlierScore.load(resolve(uri)), examine(flow, images, noise_seed=3)
    np.testing.assert_allclose(scores["score"], score.score(statistics), rtol=1e-6)
    np.testing.assert_allclose(scores["p_value"], score.p_values(statistics), rtol=1e-12)


def test_a_server_that_is_away_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(FlowModelsError, match=r"no answer from http://127\.0\.0\.1:9; start the server") as caught:
        status(connect(), NAME)
    assert "\n" not in str(caught.value)
