"""The scoring flow: images of a folder or a bucket, scored by a model into parquet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed

from flow_models.settings import load_settings
from flows.parameters import Number, Parquet, Source, Text
from flows.pipeline import PROJECT
from flows.results import most_outlying
from flows.tasks import PATIENTLY, command, stamped

DECAY = "flow-models.decay"  # prefect.yaml starts a retraining on it


@task(name="most outlying", task_run_name="most outlying")
def show_most_outlying(path: Path, number: int, output: str) -> None:
    """Leave the most outlying images as a table of the flow run."""
    import pandas as pd

    scores = pd.read_parquet(path)
    create_table_artifact(
        key="most-outlying",
        table=most_outlying(scores, number),
        description=f"Of {len(scores)} images, in {output}",
    )


@task(name="store", task_run_name="store", **PATIENTLY)
def store(path: Path, uri: str, *, requester_pays: bool) -> None:
    """Put the table into a bucket."""
    from flow_models.data.s3 import S3Source

    folder, _, name = uri.rpartition("/")
    S3Source(folder, requester_pays=requester_pays).replace(name, path)


@flow(name="scoring", flow_run_name=partial(stamped, "scoring", "source"))
def scoring(
    *,
    source: Source,
    model: Text = "models:/flow-models@champion",
    output: Parquet | None = None,
    shown: Number = 20,
) -> State[Any]:
    """Score every image of a source and show the most outlying; too many alarms of a champion are news of its decay.

    Args:
        source: A folder on the worker's machine, or s3://bucket/prefix.
        model: models:/NAME@champion, models:/NAME/VERSION, or a folder.
        output: The parquet file, on the worker's machine or s3://…; empty: reports/scores/ and the run's id.
        shown: How many of the most outlying images to show.
    """
    settings = load_settings(PROJECT / "params.yaml")
    bounds, pays = settings.drift, settings.data.s3.requester_pays
    own = f"reports/scores/{runtime.flow_run.id}.parquet"
    output = output or own
    in_bucket = output.startswith("s3://")
    path = PROJECT / (own if in_bucket else output)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = ("--alpha", str(bounds.promised_alarms), *(["--requester-pays"] if pays else []))
    scored = command("score", "score", source, "--model", model, "--output", str(path), *options)
    show_most_outlying(path, shown, output)
    if in_bucket:
        store(path, output, requester_pays=pays)
    if model.endswith("@champion") and scored["alarms_p_value"] <= bounds.level:
        tell_of_decay(source, model, scored)
    found = f"{scored['outliers']} outliers among {scored['images']} images, {scored['unreadable']} unreadable"
    return Completed(message=f"{source}: {found}; {output}")


def tell_of_decay(source: str, model: str, scored: dict[str, Any]) -> None:
    """Emit the event that starts a retraining, which sees for itself whether there is reason to train."""
    found = {name: scored[name] for name in ("images", "alarms", "alarms_p_value")}
    about = {"prefect.resource.id": "flow-models.data", "prefect.resource.name": source}
    emit_event(DECAY, resource=about, payload={"model": model, **found})
