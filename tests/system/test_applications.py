"""The other applications go the same way: through DVC into the registry, and out of it by command line and MLflow."""

from __future__ import annotations

import json
import sys

import pandas as pd
import pytest

from tests.system.project import Project

SMALL = {
    "applications": {
        "inverse_kinematics": {
            "simulation": {"train": 400, "test": 60},
            "model": {"architecture": "realnvp", "layers": 2, "hidden": [16]},
            "train": {"epochs": 2, "batch_size": 100, "checkpoint_minutes": 1.0},
            "evaluate": {"posteriors": 20, "draws": 20, "references": 2, "local_pairs": 0},
            "register": {"name": "arm", "gate": {}},
        },
        "image_classification": {
            "train": {"epochs": 2, "checkpoint_minutes": 1.0},
            "register": {"name": "digits", "gate": {}},
        },
    }
}

POSTERIOR = """
import json
import mlflow
import numpy as np
model = mlflow.pyfunc.load_model("models:/arm@champion")
draws = model.predict(np.array([[1.5, 0.0], [1.8, 0.1]], np.float32), params={"number": 5, "seed": 1})
print(json.dumps([list(draws.columns), draws["observation"].tolist()]))
"""


@pytest.fixture(scope="module")
def copy(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    copy = project.copy(tmp_path_factory.mktemp("applications") / "project", registry=False)
    copy.set(SMALL)
    return copy


def test_an_inverse_problem_goes_from_its_simulator_to_posteriors_of_the_registered_model(copy: Project) -> None:
    done = copy.run("dvc", "repro", "register-vectors@inverse_kinematics")
    stages = ("simulate", "train-vectors", "evaluate-vectors", "register-vectors")
    assert done.stages == [f"{stage}@inverse_kinematics" for stage in stages]
    assert copy.json("reports/inverse_kinematics/registered.json")["alias"] == "champion"
    assert (copy.folder / "reports/inverse_kinematics/validation/index.html").is_file()

    (copy.folder / "y.csv").write_text("end_horizontal,end_vertical\n1.5,0\n50,50\n")
    options = ("--model", "models:/arm@champion", "--observation", "y.csv", "--output", "x.csv", "--number", "7")
    said = copy.run("flow-models", "posterior", *options).text
    assert "observation 1" in said  # far outside anything seen in training
    assert "times as far from the middle of the training data" in said
    assert len(pd.read_csv(copy.folder / "x.csv")) == 14

    columns, observations = json.loads(copy.run(sys.executable, "-c", POSTERIOR).text.splitlines()[-1])
    assert columns[0] == "observation"
    assert observations == [0] * 5 + [1] * 5


def test_classes_of_images_are_learned_from_the_shards_that_are_there(copy: Project) -> None:
    done = copy.run("dvc", "repro", "register@image_classification")
    assert done.stages == [f"{stage}@image_classification" for stage in ("train", "evaluate", "register")]
    copy.run("flow-models", "sample", "--model", "models:/digits@champion", "--output", "drawn", "--number", "4")
    assert (copy.folder / "drawn/contact_sheet.png").is_file()
