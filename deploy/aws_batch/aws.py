"""What the commands ask of AWS first: the stack's outputs, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
from botocore import exceptions

from flow_models.errors import FlowModelsError, UnavailableError


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Of the stack of stack.yaml.

    Attributes:
        repository: the address of its image, without a tag.
        queue: ARN.
        definition: ARN of the job definition's newest revision.
    """

    repository: str
    queue: str
    definition: str


def outputs_of(stack: str) -> Outputs:
    """What a stack made.

    Raises:
        FlowModelsError: if there is no such stack, it is not made yet, or it is another one.
    """
    with explained(f"stack {stack}"):
        (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    if found["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}:
        raise FlowModelsError(f"stack {stack}: is {found['StackStatus']}; wait for it, or look at its events")
    values = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    try:
        return Outputs(repository=values["RepositoryUri"], queue=values["JobQueue"], definition=values["JobDefinition"])
    except KeyError as missing:
        raise FlowModelsError(
            f"stack {stack}: has no output {missing}; make it from deploy/aws_batch/stack.yaml"
        ) from None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn AWS's refusals inside the block into one line.

    Raises:
        FlowModelsError: AWS refused, or there are no credentials or no region.
        UnavailableError: AWS did not answer.
    """
    try:
        yield
    except exceptions.ClientError as error:
        raise FlowModelsError(f"{what}: AWS refused: {error.response['Error']['Message']}") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise UnavailableError(f"{what}: no answer from AWS ({error}); try again") from error
    except exceptions.BotoCoreError as error:
        raise FlowModelsError(
            f"{what}: {error}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_DEFAULT_REGION"
        ) from error
