"""The retraining flow: take the newest images, see whether there is reason to train, and train if so.

Run by night or on news of new data, from the deployment in prefect.yaml; by hand: ``python -m flows.retraining``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flow_models.settings import load_settings
from flows.parameters import Deployment, Hours, ImageApplication, Share
from flows.pipeline import PROJECT
from flows.reasons import Decision, decide, reasons_text, short
from flows.tasks import command, refuse_endless_attempts, run_one, stamped
from flows.training import training


@flow(name="retraining", flow_run_name=partial(stamped, "retraining", "application"))
def retraining(
    *,
    application: ImageApplication = "image_anomaly",
    least_share: Share = 0.02,
    force: bool = False,
    gpu_deployment: Deployment | None = None,
    hours: Hours = 24,
) -> State[Any]:
    """Take the newest images, validate them, measure drift, and train if there is reason; the run's name says which.

    Args:
        application: One of those with images in dvc.yaml; the others draw their data, which do not drift.
        least_share: New, gone and changed images, of the champion's, from which on to train though nothing drifted.
        force: Train though there is no reason, and run every stage of it.
        gpu_deployment: Train by this deployment, such as training/training-gpu. Empty: here.
        hours: A stage that takes longer is ended, and the run fails.
    """
    refuse_endless_attempts()
    command("newest images", "data", "update")
    run_one("validate", force=False, hours=hours)
    found = command("drift", "drift", "--application", application)
    decision = decide(found, least_share=least_share, force=force)
    tell(decision, found, application)
    if not decision.train:
        return Completed(name="NotTrained", message=f"no reason to train: {'; '.join(decision.reasons)}")
    trained = training(
        application=application,
        force=force,
        data=found["data"],
        gpu_deployment=gpu_deployment,
        hours=hours,
        return_state=True,
    )
    if not trained.is_completed():
        return Failed(message=trained.message)
    return Completed(message=f"trained: {'; '.join(decision.reasons)}; {trained.message}")


def tell(decision: Decision, found: dict[str, Any], application: str) -> None:
    """Leave the reasons as an artifact, and the first of them in the run's name."""
    label = load_settings(PROJECT / "params.yaml", application=application).label.replace("_", "-")
    create_markdown_artifact(key=f"{label}-drift", markdown=reasons_text(decision, found))
    if decision.train:
        with get_client(sync_client=True) as client:
            name = f"{runtime.flow_run.name}: {short(decision.reasons)}"
            client.update_flow_run(runtime.flow_run.id, name=name)


if __name__ == "__main__":
    retraining()
