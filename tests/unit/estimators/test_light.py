"""The estimators work where the packages of the pipeline are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_THE_PIPELINE = """
import sys

PIPELINE = {
    "arviz_base", "boto3", "dvc", "filelock", "great_expectations", "jinja2", "matplotlib", "mlflow", "pandas", "PIL",
    "prefect", "pyarrow", "typer",
}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PIPELINE:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])


sys.meta_path.insert(0, Absent())
"""
FIT = """
import numpy as np
import flow_models as fm

tiny = {"layers": 2, "hidden": 8, "n_estimators": 1, "max_iter": 5, "random_state": 0}
rows = np.random.default_rng(0).normal(size=(40, 2))
fm.FlowDensity(**tiny).fit(rows).save("density")
print(np.isfinite(fm.FlowDensity.load("density").score_samples(rows)).all())
print(fm.FlowPosterior(**tiny).fit(rows, rows).sample(rows[0], 3).shape)
try:
    fm.FlowPosterior(**tiny).fit(rows, rows).calibrate(lambda x, rng: x, lambda n, rng: rng.normal(size=(n, 2)), n=5)
except fm.FlowModelsError as error:
    print(error)
for needy in (
    lambda: fm.FlowPosterior(**tiny).fit(rows, rows).to_inference_data(rows[0], 3),
    lambda: fm.FlowDensity(**tiny).fit("rows.parquet"),
    lambda: fm.load("models:/species/1"),
    lambda: fm.log_model(fm.load("density")),
):
    try:
        needy()
    except fm.FlowModelsError as error:
        print(error)
"""
MAIN = """
from flow_models.__main__ import main

main()
"""


def test_a_density_and_a_posterior_need_no_package_of_the_pipeline_and_who_does_names_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_THE_PIPELINE + FIT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    finite, shape, error, of_arviz, of_parquet, of_load, of_log = done.stdout.splitlines()
    assert (finite, shape) == ("True", "(3, 2)")
    assert error.startswith("FlowPosterior.calibrate: needs ")
    assert error.endswith("which is not installed; pip install 'flow-models[pipeline]'")
    assert of_arviz == (
        "FlowPosterior.to_inference_data: needs arviz_base, which is not installed; pip install 'flow-models[arviz]'"
    )
    assert of_parquet == "tables in parquet: needs pyarrow, which is not installed; pip install 'flow-models[pipeline]'"
    assert of_load == "fm.load: needs mlflow, which is not installed; pip install 'flow-models[pipeline]'"
    assert of_log == "fm.log_model: needs mlflow, which is not installed; pip install 'flow-models[pipeline]'"


def test_the_command_line_without_its_packages_is_one_line() -> None:
    command = [sys.executable, "-c", WITHOUT_THE_PIPELINE + MAIN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    remedy = "pip install 'flow-models[pipeline]'"
    assert done.stderr.splitlines() == [f"error: flow-models: needs typer, which is not installed; {remedy}"]
