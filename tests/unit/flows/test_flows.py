"""What holds for every flow of prefect.yaml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.promotion import promotion
from flows.stage import StageError
from flows.tasks import MOST_ATTEMPTS, refuse_endless_attempts

CLONE = Path(__file__).resolve().parents[3]
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((CLONE / "prefect.yaml").read_text())["deployments"]
ENTRYPOINTS = sorted({deployment["entrypoint"] for deployment in DEPLOYMENTS})


def load(entrypoint: str) -> Flow[..., Any]:
    return load_flow_from_entrypoint(str(CLONE / entrypoint))


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_every_parameter_explains_itself_in_prefects_form(entrypoint: str) -> None:
    properties = load(entrypoint).parameters.properties
    assert properties
    assert {name for name, each in properties.items() if not each.get("description")} == set()


def test_every_flow_file_has_a_deployment() -> None:
    flows = {f"flows/{path.name}" for path in (CLONE / "flows").glob("*.py") if "@flow(" in path.read_text()}
    assert {entrypoint.partition(":")[0] for entrypoint in ENTRYPOINTS} == flows


def test_no_flow_imports_tensorflow_when_it_is_loaded() -> None:
    modules = ", ".join(
        entrypoint.partition(":")[0].removesuffix(".py").replace("/", ".") for entrypoint in ENTRYPOINTS
    )
    program = f"import sys, {modules}; print(sorted({{'tensorflow', 'mlflow', 'pandas'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=CLONE, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("flow", "parameters"),
    [
        ("retraining", {"least_share": 2}),
        ("retraining", {"gpu_deployment": "training-gpu"}),
        ("retraining", {"application": "vector_classification"}),
        ("training", {"application": "image_anomly"}),
        ("training", {"data": "abc"}),
        ("training", {"hours": 0}),
        ("promotion", {"version": 0}),
        ("scoring", {"source": "data", "output": "scores.csv"}),
        ("scoring", {"source": "data", "output": "s3://scores.parquet"}),
        ("scoring", {"source": ""}),
        ("scoring", {"source": "--help"}),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_anything_runs(flow: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError, match=list(parameters)[-1]):
        load(f"flows/{flow}.py:{flow}").validate_parameters(parameters)


def test_a_promotion_with_a_reason_needs_somebody_who_has_it() -> None:
    with pytest.raises(StageError, match="fill in `by`"):
        promotion.fn(reason="fewer false alarms")


def test_a_run_that_takes_its_worker_with_it_is_not_repeated_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(MOST_ATTEMPTS))
    refuse_endless_attempts()
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(MOST_ATTEMPTS + 1))
    with pytest.raises(StageError, match="its worker was lost 5 times"):
        refuse_endless_attempts()
