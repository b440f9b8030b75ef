"""What ``dvc repro`` leaves, and when it has something to do."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from tests.system.project import Project

CONTRACT = (
    "prepared/manifest.parquet",
    "prepared/shards/index.json",
    "models/image_anomaly/model.json",
    "models/image_anomaly/history.csv",
    "reports/validation/index.html",
    "reports/image_anomaly/metrics.json",
    "reports/image_anomaly/plots/roc.csv",
    "reports/image_anomaly/report.html",
    "reports/image_anomaly/registered.json",
    "mlflow.db",
)

# MLflow first, and alone: it must find the registry without this package's help.
SCORE = """
import json
import mlflow
import numpy as np
images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
packaged = mlflow.pyfunc.load_model("models:/flow-models@champion").predict(images)["log_prob"]

import flow_models as fm
noise = fm.dequantise(np.zeros((1, 8, 8, 1), np.uint8), seed=0)
flow = fm.load("models:/flow-models@champion").log_prob(images + noise)
version = mlflow.MlflowClient().get_model_version_by_alias("flow-models", "champion").version
print(json.dumps([version, packaged.tolist(), flow.numpy().tolist()]))
"""


class Addresses(HTMLParser):
    """Collects what a page would load or link to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.found += [value or "" for name, value in attrs if name in {"src", "srcset", "href", "data"}]


def test_the_chain_leaves_every_file_of_the_contract_and_no_pickle(project: Project) -> None:
    assert [name for name in CONTRACT if not (project.folder / name).is_file()] == []
    made = [path for top in ("models", "mlartifacts") for path in (project.folder / top).rglob("*")]
    assert [path for path in made if path.suffix in {".pkl", ".pickle", ".joblib"}] == []


def test_the_report_opens_without_a_network(project: Project) -> None:
    page = (project.folder / "reports/image_anomaly/report.html").read_text()
    parser = Addresses()
    parser.feed(page)
    assert [each[:60] for each in parser.found if not each.startswith(("data:", "#"))] == []
    assert any(each.startswith("data:image/") for each in parser.found)
    assert re.findall(r"@import|url\((?!['\"]?(?:data:|#))", page) == []


def test_another_machine_takes_what_one_has_done_from_the_run_cache(copy: Project, tmp_path: Path) -> None:
    copy.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    copy.run("dvc", "push", "--run-cache")
    for left in ("data", "prepared", "models", "reports", ".cache", ".dvc/cache"):
        shutil.rmtree(copy.folder / left)
    (copy.folder / "dvc.lock").unlink()  # nobody committed it
    copy.run("dvc", "pull", "--run-cache", "data")
    assert copy.run("dvc", "repro", "--pull", "register@image_anomaly").stages == []


def test_nothing_runs_when_nothing_has_changed(project: Project) -> None:
    assert project.run("dvc", "repro", "register@image_anomaly").stages == []
    assert project.outdated() == set()


def test_the_number_of_samples_is_a_matter_of_evaluation_alone(copy: Project) -> None:
    copy.set({"evaluate": {"samples": 9}})
    assert copy.outdated() == {"evaluate@image_anomaly"}


def test_a_version_that_passes_the_gate_is_champion_and_mlflow_and_the_flow_itself_agree_on_it(
    project: Project,
) -> None:
    registered = project.json("reports/image_anomaly/registered.json")
    assert (registered["version"], registered["alias"], registered["passed"]) == (1, "champion", True)
    done = project.run(sys.executable, "-c", SCORE)
    version, packaged, flow = json.loads(done.text.splitlines()[-1])
    assert int(version) == registered["version"]
    np.testing.assert_allclose(packaged, flow, rtol=1e-4)
