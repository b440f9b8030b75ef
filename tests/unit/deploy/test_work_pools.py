"""The work-pool templates: what Prefect would make of them, against the schemas of those who get it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import docker.types
import kubernetes_validate
import pytest
from botocore.validate import ParamValidator
from prefect.utilities.templating import apply_values

FOLDER = Path(__file__).resolve().parents[3] / "deploy/work-pools"
POOLS = ("process", "docker", "kubernetes", "ecs")


def template(pool: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{pool}.json").read_text())


def job(pool: str, **values: Any) -> dict[str, Any]:
    """The job configuration of a run that sets these variables, as a worker fills it in."""
    content = template(pool)
    variables = content["variables"]["properties"]
    defaults = {
        name: variable["default"] for name, variable in variables.items() if variable.get("default") is not None
    }
    unset = dict.fromkeys(variables.keys() - defaults.keys())
    return apply_values(content["job_configuration"], unset | defaults | values)


def validate_kubernetes(manifest: dict[str, Any]) -> None:
    without_nulls = json.loads(json.dumps(manifest), object_hook=_without_nulls)
    kubernetes_validate.validate(without_nulls, kubernetes_validate.latest_version(), strict=True)


def _without_nulls(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def kubernetes_job(**values: Any) -> dict[str, Any]:
    # The worker makes lists of these two, as Kubernetes has them.
    lists = {
        "env": [{"name": "PREFECT_API_URL", "value": "http://prefect"}],
        "command": ["prefect", "flow-run", "execute"],
    }
    return job("kubernetes", name="training", labels={"app": "flow-models"}, **(lists | values))["job_manifest"]


@pytest.mark.parametrize("pool", POOLS)
def test_every_variable_is_used_since_one_that_is_not_would_be_ignored(pool: str) -> None:
    content = template(pool)
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(content["job_configuration"])))
    assert used == set(content["variables"]["properties"])


@pytest.mark.parametrize("pool", POOLS)
def test_a_template_brings_no_credentials(pool: str) -> None:
    variables = template(pool)["variables"]["properties"]
    assert not [name for name in variables if "credentials" in name and variables[name].get("default")]


def test_docker_hands_the_gpus_to_the_container() -> None:
    options = job("docker")["container_create_kwargs"]
    host = docker.types.HostConfig(version="1.47", device_requests=options["device_requests"])
    (request,) = host["DeviceRequests"]
    assert (request["Driver"], request["Count"], request["Capabilities"]) == ("nvidia", -1, [["gpu"]])


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_the_kubernetes_job_is_one_by_the_api_s_schema_and_asks_for_its_gpus(gpus: int) -> None:
    manifest = kubernetes_job(gpus=gpus, cpu_limit="4", service_account_name="trainings")
    validate_kubernetes(manifest)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus


def test_a_kubernetes_job_runs_once_and_not_as_root() -> None:
    spec = kubernetes_job()["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 0)
    assert spec["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_schema_would_find_a_field_in_the_wrong_place() -> None:
    manifest = kubernetes_job()
    manifest["spec"]["template"]["spec"]["parallelism"] = 1  # where Prefect's published template has it
    with pytest.raises(kubernetes_validate.ValidationError, match="parallelism"):
        validate_kubernetes(manifest)


def test_ecs_runs_on_ec2_with_a_gpu_in_a_task_definition_that_aws_would_take() -> None:
    configuration = job(
        "ecs", image="training:gpu", container_name="prefect", execution_role_arn="arn:aws:iam::1:role/x"
    )
    definition = configuration["task_definition"]
    # The worker writes these two as text, which ECS wants at this place.
    definition |= {name: str(definition[name]) for name in ("cpu", "memory")}
    ecs = boto3.client("ecs", region_name="us-east-1").meta.service_model
    shape = ecs.operation_model("RegisterTaskDefinition").input_shape
    assert ParamValidator().validate(definition, shape).generate_report() == ""
    assert definition["containerDefinitions"][0]["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert definition["requiresCompatibilities"] == ["EC2"]
    assert configuration["task_run_request"]["launchType"] == "EC2"
