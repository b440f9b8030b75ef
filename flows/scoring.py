"""The scoring flow: images of a folder or a bucket, scored by a model into parquet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.parameters import Number, Parquet, Source, Text
from flows.results import most_outlying
from flows.stage import PROJECT
from flows.tasks import command, stamped


@task(name="most outlying", task_run_name="most outlying")
def show_most_outlying(path: Path, number: int) -> None:
    """Leave the most outlying images as a table of the flow run."""
    import pandas as pd

    scores = pd.read_parquet(path)
    create_table_artifact(
        key="most-outlying",
        table=most_outlying(scores, number),
        description=f"Of {len(scores)} images, in {path}",
    )


@flow(name="scoring", flow_run_name=partial(stamped, "scoring"))
def scoring(
    *,
    source: Source,
    model: Text = "models:/flow-models@champion",
    output: Parquet = "reports/scores/scores.parquet",
    shown: Number = 20,
) -> State[Any]:
    """Score every image of a source and show the most outlying.

    Args:
        source: A folder on the worker's machine, or s3://bucket/prefix.
        model: models:/NAME@champion, models:/NAME/VERSION, or a folder.
        output: The parquet file to write on the worker's machine; relative to the clone.
        shown: How many of the most outlying images to show.
    """
    path = PROJECT / output
    path.parent.mkdir(parents=True, exist_ok=True)
    scored = command("score", "score", source, "--model", model, "--output", str(path))
    show_most_outlying(path, shown)
    found = f"{scored['outliers']} outliers among {scored['images']} images, {scored['unreadable']} unreadable"
    return Completed(message=f"{source}: {found}; {path}")
