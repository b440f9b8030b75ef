"""The promotion flow: the gate's judgement made true, or a person's. By hand: ``python -m flows.promotion``."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.parameters import Number, Text
from flows.results import aliases_text
from flows.stage import StageError
from flows.tasks import command, stamped


@flow(name="promotion", flow_run_name=partial(stamped, "promotion", "name"))
def promotion(
    *, name: Text | None = None, version: Number | None = None, reason: Text | None = None, by: Text | None = None
) -> State[Any]:
    """Make a version the champion if it passed the gate beside today's, or if a person says why it should be.

    Args:
        name: Of the registered model in MLflow. Empty: the one in params.yaml.
        version: Which to make champion. Empty: the challenger.
        reason: Needed for a version that the gate refused, judged beside another champion, or that was rolled back.
        by: Who has the reason; both are kept with the version.
    """
    if reason is not None and by is None:
        # The command would ask git, which here knows the worker's user.
        raise StageError("promotion: a reason, but nobody who has it; fill in `by`", worth_retrying=False)
    options = {"--name": name, "--version": version, "--reason": reason, "--by": by or "gate"}
    given = [text for option, value in options.items() if value is not None for text in (option, str(value))]
    promoted = command("promote", "promote", *given)
    status = command("status", "status", "--name", promoted["name"])
    create_markdown_artifact(key=f"{slug(promoted['name'])}-champion", markdown=aliases_text(promoted["name"], status))
    return Completed(message=f"{promoted['name']}: version {promoted['champion']} is champion")


def slug(name: str) -> str:
    """A registered model's name as Prefect wants a key."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower())


if __name__ == "__main__":
    promotion()
