from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from deploy.aws_batch.aws import Outputs, outputs_of

TEMPLATE = Path(__file__).resolve().parents[3] / "deploy/aws_batch/stack.yaml"
BUCKET = "pictures"


def create_stack(template: str, name: str = "flow-models") -> None:
    vpc = boto3.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = boto3.client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    values = {
        "VpcId": vpc,
        "SubnetIds": subnet,
        "DataBucket": BUCKET,
        "MlflowTrackingUri": "https://mlflow.example.org",
        "InstanceTypes": "g4dn.xlarge",
    }
    boto3.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=template,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Moto's AWS in this process; its Batch says of every job at once that it has succeeded."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws(config={"batch": {"use_docker": False}, "iam": {"load_aws_managed_policies": True}}):
            yield


@pytest.fixture(scope="module")
def stack(aws: None) -> Outputs:
    role = boto3.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    # Two things that AWS does and moto does not: a role of Batch's own, and a repository's name in small letters.
    template = TEMPLATE.read_text().replace("Type: MANAGED", f"Type: MANAGED\n      ServiceRole: {role}")
    create_stack(template.replace("ImageScanning", "RepositoryName: training\n      ImageScanning"))
    return outputs_of("flow-models")
