"""The training flow: the stages of dvc.yaml in order, as Prefect tasks, here or where a GPU is.

Run by a worker from the deployment in prefect.yaml, or by hand: ``python -m flows.training``.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flow_models.settings import MANIFEST, load_settings
from flows.elsewhere import train_elsewhere
from flows.parameters import Application, Deployment, Digest, Hours
from flows.pipeline import PROJECT, stages_of
from flows.results import metrics_table, outcome, summary
from flows.stage import StageError
from flows.tasks import refuse_endless_attempts, run_one, stamped


@task(name="same images", task_run_name="same images")
def images_here(wanted: str | None) -> str:
    """The digest of the images; stop where a worker sees others than whoever started the run."""
    from flow_models.data.manifest import manifest_digest, read_manifest

    found = manifest_digest(read_manifest(PROJECT / MANIFEST))
    if wanted is not None and found != wanted:
        raise StageError(
            f"images: the worker finds {found[:12]}, not {wanted[:12]}; start anew, or correct its data.source",
            worth_retrying=False,
        )
    return found


@task(name="results", task_run_name="results")
def show_results(application: str) -> str:
    """Leave the metrics, and what became of the version, as artifacts of the flow run; the latter also in one line."""
    settings = load_settings(PROJECT / "params.yaml", application=application)
    name, folder = settings.label.replace("_", "-"), PROJECT / settings.report_folder
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    registered = json.loads((folder / "registered.json").read_text(encoding="utf-8"))
    create_table_artifact(
        key=f"{name}-metrics",
        table=metrics_table(metrics),
        description="Measured on data that took no part in training",
    )
    create_markdown_artifact(key=f"{name}-report", markdown=summary(registered, folder / "report.html"))
    return outcome(registered)


@flow(name="training", flow_run_name=partial(stamped, "training", "application"))
def training(
    *,
    application: Application = "image_anomaly",
    force: bool = False,
    data: Digest | None = None,
    gpu_deployment: Deployment | None = None,
    hours: Hours = 24,
) -> State[Any]:
    """Prepare, train, evaluate, register; stages of which nothing changed are skipped.

    Args:
        application: One of those in dvc.yaml.
        force: Run every stage, changed or not.
        data: Digest of the images: fail unless the worker finds these. Empty: take what is there.
        gpu_deployment: Validate here and let this deployment do the rest, such as training/training-gpu. Empty: here.
        hours: A stage that takes longer is ended, and the run fails.
    """
    refuse_endless_attempts()
    stages = stages_of(application)
    for stage in [stage for stage in stages if stage == "validate"] if gpu_deployment else stages:
        run_one(stage, force=force, hours=hours)
        if stage == "validate" and (data or gpu_deployment):
            data = images_here(data)
    if gpu_deployment:
        asked = {"application": application, "force": force, "data": data, "hours": hours}
        return Completed(message=train_elsewhere(gpu_deployment, asked, hours=hours * len(stages)))
    return Completed(message=show_results(application))


if __name__ == "__main__":
    training()
