"""``python -m deploy.aws_batch push | submit | follow``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from deploy.aws_batch import image, jobs
from deploy.aws_batch.aws import outputs_of
from flow_models.errors import FlowModelsError, UnavailableError

BAD_INPUT, UNAVAILABLE, INTERRUPTED = 2, 75, 130
Stack = Annotated[str, typer.Option("--stack", help="The CloudFormation stack made from stack.yaml.")]
Every = Annotated[float, typer.Option("--every", help="Seconds between two looks.", min=0)]
STACK = "flow-models"

app = typer.Typer(
    help="Training as a job of AWS Batch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def push(
    *,
    stack: Stack = STACK,
    tag: Annotated[str, typer.Option(help="That the job definition names.")] = "gpu",
    dockerfile: Annotated[Path, typer.Option(help="Relative to the project.")] = image.DOCKERFILE,
) -> None:
    """Build the image and push it to the stack's repository, as TAG and as its commit."""
    for address in image.push(outputs_of(stack), tag=tag, dockerfile=dockerfile, say=typer.echo):
        typer.echo(f"pushed {address}")


@app.command()
def submit(
    *,
    stack: Stack = STACK,
    name: Annotated[str | None, typer.Option(help="Of the job.")] = None,
    application: Annotated[str | None, typer.Option(help="Default: the one in params.yaml.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    every: Every = 5,
) -> None:
    """Submit a training, pass its log on and end with its exit code."""
    name = name or f"training-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    job_id = jobs.submit(
        outputs_of(stack), name=name, application=application, changes=set_ or [], say=typer.echo, every=every
    )
    typer.echo(f"submitted {name}: {job_id}")
    if not detach:
        _follow(job_id, every)


@app.command()
def follow(job_id: str, *, every: Every = 5) -> None:
    """Pass the log of a submitted job on and end with its exit code."""
    _follow(job_id, every)


def _follow(job_id: str, every: float) -> None:
    try:
        code = jobs.follow(job_id, say=typer.echo, every=every)
    except KeyboardInterrupt:
        typer.echo(f"the job goes on; to follow it again: python -m deploy.aws_batch follow {job_id}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


def main() -> None:
    """Run the command line; bad input is one line and exit code 2, an AWS that is away 75."""
    try:
        app()
    except FlowModelsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(UNAVAILABLE if isinstance(error, UnavailableError) else BAD_INPUT)


if __name__ == "__main__":
    main()
