from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from flow_models.errors import FlowModelsError
from flow_models.registry.load import resolve
from flow_models.registry.package import log_model
from flow_models.registry.promotion import promote, register_version
from flow_models.registry.tracking import experiment_id
from flow_models.settings import Settings

CHAMPION = "models:/flow-models@champion"


@pytest.fixture
def champion(client: MlflowClient, saved_model: Path, images: np.ndarray) -> str:
    run_id = client.create_run(experiment_id(client, "image_anomaly")).info.run_id
    uri = log_model(run_id, saved_model=saved_model, flow_model=Settings().model_folder, example=images)
    register_version(client, "flow-models", model_uri=uri, run_id=run_id, tags={})
    promote(client, "flow-models", by="Ada", reason="a test")
    return CHAMPION


def test_the_packaged_model_scores_images_and_travels_with_the_flow(champion: str, images: np.ndarray) -> None:
    model = mlflow.pyfunc.load_model(champion)
    scores = model.predict(images)
    np.testing.assert_allclose(scores["log_prob"], -images.mean(axis=(1, 2, 3)), rtol=1e-6)
    assert list(scores) == ["log_prob", "bits_per_dim", "typicality"]
    assert len(model.predict(np.concatenate([images] * 60))) == 300
    assert len(model.predict(images[:0])) == 0
    with pytest.raises(mlflow.MlflowException, match="shape"):
        model.predict(images[:, :4])

    assert (resolve(champion) / "model.json").is_file()
    assert (resolve("models:/flow-models/1") / "model.json").is_file()


def test_the_package_says_what_it_needs_and_what_it_takes(champion: str, images: np.ndarray) -> None:
    info = mlflow.models.get_model_info(champion)
    requirements = Path(mlflow.artifacts.download_artifacts(champion), "requirements.txt").read_text().splitlines()
    assert sorted(each.split("==")[0] for each in requirements) == ["mlflow", "numpy", "pandas", "pillow", "tensorflow"]
    assert info.signature.inputs.inputs[0].shape == (-1, 8, 8, 1)
    assert info.saved_input_example_info is not None


def test_an_unknown_version_or_folder_is_refused_in_one_line(champion: str) -> None:
    for uri in ("models:/flow-models@nobody", "models:/nothing/1", "nowhere"):
        with pytest.raises(FlowModelsError) as caught:
            resolve(uri)
        assert "\n" not in str(caught.value)


def test_without_a_store_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(FlowModelsError, match=r"no mlflow\.db"):
        resolve(CHAMPION)
    assert not list(tmp_path.iterdir())
