"""The CloudFormation stack of AWS Batch: well formed, in the right order, and with no right too many."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cfnlint.decode import decode

from deploy.aws_batch.aws import Outputs
from tests.unit.deploy.conftest import BUCKET, TEMPLATE

RESOURCES: dict[str, Any] = decode(str(TEMPLATE))[0]["Resources"]


def references(value: Any) -> Iterator[str]:
    """The resources that a part of the template names, directly."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0]
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_cfn_lint_finds_nothing() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--include-checks", "I", "--", TEMPLATE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_compute_environment_is_made_after_all_that_makes_it_valid() -> None:
    needs = {name: set(references(resource)) & set(RESOURCES) for name, resource in RESOURCES.items()}
    assert "ComputeEnvironment" in needs["JobQueue"]
    assert {"InstanceProfile", "LaunchTemplate", "SecurityGroup"} <= needs["ComputeEnvironment"]
    assert "InstanceRole" in needs["InstanceProfile"]
    # A policy that is a resource of its own may come after the environment that needs it.
    assert not [name for name, resource in RESOURCES.items() if "Policy" in resource["Type"]]


def test_only_what_knows_no_resources_is_allowed_on_all() -> None:
    statements = [
        statement
        for resource in RESOURCES.values()
        for policy in resource.get("Properties", {}).get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert len(statements) == 5
    assert [each["Action"] for each in statements if each["Resource"] == "*"] == ["ecr:GetAuthorizationToken"]
    assert not [each for each in statements if "*" in str(each["Action"])]


def test_the_stack_comes_up_and_a_job_gets_a_gpu_its_roles_and_its_log(stack: Outputs) -> None:
    batch = boto3.client("batch")
    (definition,) = batch.describe_job_definitions(jobDefinitions=[stack.definition])["jobDefinitions"]
    container = definition["containerProperties"]
    assert container["image"] == f"{stack.repository}:gpu"
    assert {each["type"]: int(each["value"]) for each in container["resourceRequirements"]}["GPU"] == 1
    assert {"name": "MLFLOW_TRACKING_URI", "value": "https://mlflow.example.org"} in container["environment"]
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/flow-models/flow-models"
    assert container["jobRoleArn"] != container["executionRoleArn"]
    (queue,) = batch.describe_job_queues(jobQueues=[stack.queue])["jobQueues"]
    environment = queue["computeEnvironmentOrder"][0]["computeEnvironment"]
    (environment,) = batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
    assert environment["computeResources"]["minvCpus"] == 0


@pytest.mark.usefixtures("stack")
def test_a_job_may_read_the_images_and_nothing_else() -> None:
    iam = boto3.client("iam")
    (role,) = [role["RoleName"] for role in iam.list_roles()["Roles"] if "JobRole" in role["RoleName"]]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    # Moto gives a policy that CloudFormation made as Python writes it.
    document = ast.literal_eval(str(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]))
    allowed = {(str(each["Action"]), each["Resource"]) for each in document["Statement"]}
    assert allowed == {
        ("['s3:ListBucket', 's3:GetBucketLocation']", f"arn:aws:s3:::{BUCKET}"),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/*"),
    }
