"""``flow-models …``: parse, call one function, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flow_models.errors import FlowModelsError, UnavailableError

if TYPE_CHECKING:
    from flow_models.settings import Settings

app = typer.Typer(
    help="Normalizing flows: data, training, evaluation, registry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="Images: where they come from, whether they are sound, and how training reads them.")
app.add_typer(data, name="data", no_args_is_help=True)

Params = Annotated[Path, typer.Option("--params", help="The settings.")]
Application = Annotated[str | None, typer.Option("--application", help="Instead of the one in the settings.")]
Name = Annotated[str | None, typer.Option("--name", help="Of the registered model; default: from the settings.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Let TensorFlow and other libraries log too.")]

PARAMS = Path("params.yaml")
BAD_INPUT = 2
UNAVAILABLE = 75  # EX_TEMPFAIL of sysexits.h


def main() -> None:
    """Run the command line; bad input is one line on standard error and exit code 2, a server that is away 75."""
    try:
        app()
    except FlowModelsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(UNAVAILABLE if isinstance(error, UnavailableError) else BAD_INPUT)


@app.callback()
def _root(verbose: Verbose = False) -> None:
    from flow_models import console

    console.set_up(verbose=verbose)


@data.command("demo")
def data_demo(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("data"), as_json: Json = False
) -> None:
    """Write the embedded data: handwritten digits and two sets of outliers."""
    from flow_models import data_stages

    show({"folder": str(folder), "images": data_stages.demo(folder)}, as_json=as_json)


@data.command("manifest")
def data_manifest(params: Params = PARAMS, as_json: Json = False) -> None:
    """List and describe every image of the source."""
    from flow_models import data_stages

    show(data_stages.manifest(_settings(params)), as_json=as_json)


@data.command("validate")
def data_validate(params: Params = PARAMS, as_json: Json = False) -> None:
    """Describe every image and check that the set is sound; stops the pipeline if it is not."""
    from flow_models import data_stages

    show(data_stages.validate(_settings(params)), as_json=as_json)


@data.command("accept")
def data_accept(params: Params = PARAMS, as_json: Json = False) -> None:
    """Compare the next set with the one that was validated last, though that did not pass."""
    from flow_models import data_stages

    show(data_stages.accept(_settings(params)), as_json=as_json)


@data.command("profile")
def data_profile(
    source: Annotated[str | None, typer.Argument(help="A folder or s3://…; default: from the settings.")] = None,
    params: Params = PARAMS,
    as_json: Json = False,
) -> None:
    """Propose the ``validation:`` section of params.yaml from a set that is known to be good."""
    from flow_models import data_stages

    proposed = data_stages.propose(_settings(params), source)
    if as_json:
        show(proposed, as_json=True)
    else:
        typer.echo("validation:\n" + "\n".join(f"  {name}: {value}" for name, value in proposed.items()))


@data.command("update")
def data_update(params: Params = PARAMS, as_json: Json = False) -> None:
    """Take the newest images, and say what came, went and changed by class."""
    from flow_models import data_stages

    show(data_stages.update(_settings(params)), as_json=as_json)


@data.command("shard")
def data_shard(params: Params = PARAMS, as_json: Json = False) -> None:
    """Write the validated images, at the network's size, into the files that training reads."""
    from flow_models import console, data_stages

    settings = _settings(params)
    console.import_tensorflow()
    index = data_stages.prepare(settings)
    counts = {name: split.count for name, split in index.splits.items()}
    show({"digest": index.digest, "shape": list(index.shape), **counts, "inliers": index.inliers}, as_json=as_json)


@data.command("simulate")
def data_simulate(params: Params = PARAMS, application: Application = None, as_json: Json = False) -> None:
    """Draw the table that an application without images learns from, and check it."""
    from flow_models import data_stages

    show(data_stages.simulate(_settings(params, application)), as_json=as_json)


@app.command()
def train(params: Params = PARAMS, application: Application = None, as_json: Json = False) -> None:
    """Fit the flow; run again after an interruption, it continues from its last checkpoint."""
    settings, stages = _settings(params, application), _stages()
    show(stages.train(settings), as_json=as_json)


@app.command()
def evaluate(params: Params = PARAMS, application: Application = None, as_json: Json = False) -> None:
    """Measure the trained model on held-out images: bits/dim, AUROC per outlier set, samples, report."""
    settings, stages = _settings(params, application), _stages()
    show(stages.evaluate(settings), as_json=as_json)


@app.command()
def register(params: Params = PARAMS, application: Application = None, as_json: Json = False) -> None:
    """Register the model as challenger; it becomes champion if it passes the gate."""
    # What is registered runs in other processes: its graphs must not be made for the streams of this one.
    settings, stages = _settings(params, application), _stages(in_streams=False)
    show(stages.register(settings), as_json=as_json)


@app.command()
def drift(params: Params = PARAMS, application: Application = None, as_json: Json = False) -> None:
    """Compare the newest images with those that the champion was trained on, and its alarms with its promise."""
    from flow_models import drift_stage

    show(drift_stage.drift(_settings(params, application)), as_json=as_json)


Model = Annotated[str, typer.Option("--model", help="A folder, or models:/NAME@champion.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same draws.")]


@app.command()
def sample(
    model: Model,
    output: Annotated[Path, typer.Option("--output", help="A folder, replaced when all is written.")],
    number: Annotated[int, typer.Option("--number", min=1)] = 64,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="Below 1: more typical.")] = 1.0,
    label: Annotated[str | None, typer.Option("--label", help="The class to draw of; default: each in turn.")] = None,
    truncation: Annotated[
        float | None, typer.Option("--truncation", min=0.01, help="Largest latent, in deviations.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw from a model: PNG files and a contact sheet, or a table of vectors."""
    drawn = _commands().sample(
        model, output, number=number, temperature=temperature, seed=seed, label=label, truncation=truncation
    )
    show(drawn, as_json=as_json)


@app.command()
def interpolate(
    start: Annotated[Path, typer.Argument(help="An image.")],
    end: Annotated[Path, typer.Argument(help="Another.")],
    model: Model,
    output: Annotated[Path, typer.Option("--output", help="A folder, replaced when all is written.")],
    steps: Annotated[int, typer.Option("--steps", min=2, help="Images, the ends included.")] = 10,
    linear: Annotated[bool, typer.Option("--linear", help="On the straight line, not on the great arc.")] = False,
    as_json: Json = False,
) -> None:
    """Draw what lies between two images, and say how exactly the two are reconstructed."""
    show(_commands().interpolate(model, start, end, output, steps=steps, linear=linear), as_json=as_json)


@app.command()
def score(
    source: Annotated[str, typer.Argument(help="A folder or s3://bucket/prefix; its files at any depth.")],
    model: Model,
    output: Annotated[Path, typer.Option("--output", help=".parquet, replaced when all is written.")],
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Of alarms and false discoveries; default: 0.05.")
    ] = None,
    requester_pays: Annotated[
        bool, typer.Option("--requester-pays", help="Accept that S3 bills the requests to you.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score images: how outlying each is, its p-value, and which are outliers by Benjamini-Hochberg."""
    if alpha is not None and not 0 < alpha < 1:
        raise FlowModelsError(f"--alpha {alpha}: not between 0 and 1")
    show(_commands().score(model, source, output, alpha=alpha, requester_pays=requester_pays), as_json=as_json)


@app.command()
def posterior(
    model: Model,
    observation: Annotated[Path, typer.Option("--observation", help="CSV or .npy, a row an observation.")],
    output: Annotated[Path, typer.Option("--output", help=".csv or .parquet, a row a draw.")],
    number: Annotated[int, typer.Option("--number", min=1, help="Draws an observation.")] = 1000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw from the posterior of each observation; warns of those outside anything seen in training."""
    show(_commands().posterior(model, observation, output, number=number, seed=seed), as_json=as_json)


Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the version.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; default: git's user.name, or the system's user.")]


@app.command()
def promote(
    version: Annotated[int | None, typer.Option(help="Default: the challenger.")] = None,
    reason: Reason = None,
    by: By = None,
    name: Name = None,
    params: Params = PARAMS,
    as_json: Json = False,
) -> None:
    """Make a version the champion; one that did not pass the gate beside today's champion needs a --reason."""
    from flow_models import commands

    done = commands.promote(_settings(params), name=name, version=version, reason=reason, by=by)
    show(done, as_json=as_json)


@app.command()
def rollback(
    reason: Reason = None, by: By = None, name: Name = None, params: Params = PARAMS, as_json: Json = False
) -> None:
    """Make the previous champion the champion again."""
    from flow_models import commands

    show(commands.rollback(_settings(params), name=name, reason=reason, by=by), as_json=as_json)


@app.command()
def status(name: Name = None, params: Params = PARAMS, as_json: Json = False) -> None:
    """Show which version is champion, challenger and previous, what they measured, the last drift and runs."""
    from flow_models import commands

    show(commands.status(_settings(params), name=name), as_json=as_json)


@app.command()
def report(params: Params = PARAMS, application: Application = None, as_json: Json = False) -> None:
    """Show what the last evaluation measured, what was registered, and where the report is."""
    from flow_models import commands

    show(commands.report(_settings(params, application)), as_json=as_json)


def show(result: Any, *, as_json: bool) -> None:
    """Print a result: as JSON, or as lines of name and value for people."""
    content = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    if as_json:
        typer.echo(json.dumps(content))
        return
    rows = _rows(content)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}".rstrip())


def _rows(content: Mapping[str, Any], indent: str = "") -> list[tuple[str, str]]:
    """Name and value of every leaf; nested names below their heading, mappings of equal keys as a table."""
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        if not isinstance(value, Mapping):
            lines = value if isinstance(value, list) and any(" " in str(each) for each in value) else [value]
            rows += [(f"{indent}{'' if index else name}", _text(line)) for index, line in enumerate(lines)]
        elif (columns := _columns(value)) is not None:
            rows.append((f"{indent}{name}", "  ".join(columns)))
            for row, cells in value.items():
                texts = [f"{_text(cell):>{len(column)}}" for column, cell in zip(columns, cells.values(), strict=True)]
                rows.append((f"{indent}  {row}", "  ".join(texts)))
        else:
            rows += [(f"{indent}{name}", ""), *_rows(value, f"{indent}  ")]
    return rows


def _columns(table: Mapping[str, Any]) -> list[str] | None:
    """The keys that all rows of a table of numbers share; None if it is no table."""
    rows = list(table.values())
    same = rows and all(isinstance(row, Mapping) and list(row) == list(rows[0]) for row in rows)
    if not same or not all(isinstance(cell, float) for row in rows for cell in row.values()):
        return None
    return [f"{column:>7}" for column in rows[0]]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _settings(params: Path, application: str | None = None) -> Settings:
    from flow_models.settings import load_settings

    return load_settings(params, application=application)


def _stages(*, in_streams: bool = True) -> Any:
    """The stages, after TensorFlow, which is imported here so that its log lines can be put aside."""
    from flow_models import console, stages

    console.import_tensorflow(in_streams=in_streams)
    return stages


def _commands() -> Any:
    """The commands on models, after TensorFlow, as ``_stages``."""
    from flow_models import commands, console

    console.import_tensorflow()
    return commands
