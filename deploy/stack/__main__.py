"""``python -m deploy.stack start | stop | status``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.stack.services import Ports, Stack
from flow_models.errors import FlowModelsError

BAD_INPUT = 2
Home = Annotated[Path, typer.Option("--home", help="For data, logs and pid files.")]
Port = Annotated[int, typer.Option(help="Of 127.0.0.1.", min=1, max=65535)]

HOME = Path(".stack")
PORTS = Ports()

app = typer.Typer(
    help="PostgreSQL, S3, MLflow, Prefect and a worker, without Docker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def start(
    *,
    home: Home = HOME,
    postgres_port: Port = PORTS.postgres,
    s3_port: Port = PORTS.s3,
    mlflow_port: Port = PORTS.mlflow,
    prefect_port: Port = PORTS.prefect,
) -> None:
    """Start what does not run yet, and say how to use it."""
    ports = Ports(postgres=postgres_port, s3=s3_port, mlflow=mlflow_port, prefect=prefect_port)
    stack = Stack(home.resolve(), ports)
    stack.start()
    typer.echo(f"MLflow   http://127.0.0.1:{ports.mlflow}")
    typer.echo(f"Prefect  http://127.0.0.1:{ports.prefect}")
    typer.echo(f"To use them here: source {home}/environment")


@app.command()
def stop(*, home: Home = HOME) -> None:
    """End what runs; the databases stay, the objects in S3 do not."""
    ended = Stack(home.resolve(), PORTS).stop()
    typer.echo(f"ended {', '.join(ended)}" if ended else "nothing was running")


@app.command()
def status(*, home: Home = HOME) -> None:
    """Say what runs."""
    for name, state in Stack(home.resolve(), PORTS).status().items():
        typer.echo(f"{name:<8} {state}")


if __name__ == "__main__":
    try:
        app()
    except FlowModelsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
