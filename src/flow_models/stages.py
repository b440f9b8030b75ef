"""The pipeline's stages, one function each: the command line, DVC and the Prefect flows all end here.

Each reads what the one before left, and leaves files for the next; ``dvc.yaml`` says which. The stages
before training are in ``data_stages``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flow_models.data.atomic import complete_file
from flow_models.settings import Settings, fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flow_models.model import FlowModel
    from flow_models.registry.gate import Decision
    from flow_models.registry.promotion import Version
    from flow_models.registry.provenance import Provenance
    from flow_models.training import Outcome
    from flow_models.training.listeners import Listener

logger = logging.getLogger(__name__)

CHECKPOINTS = Path("checkpoints")
TENSORBOARD = Path("tensorboard")


@dataclass(frozen=True)
class Registered:
    """What became of a version, and why."""

    name: str
    version: int
    alias: str
    passed: bool
    reasons: list[str]
    run_id: str


def train(settings: Settings) -> Outcome:
    """Fit the flow and leave it in ``models/<application>``; continues a run that was interrupted.

    Raises:
        FlowModelsError: if the data are missing or of another shape, or training diverges.
    """
    from flow_models import training
    from flow_models.applications import find_application
    from flow_models.model import FlowModel
    from flow_models.training.memory import choose_reversible
    from flow_models.training.precision import Compute, choose_compute
    from flow_models.training.strategy import choose_replicas

    replicas = choose_replicas()
    lesson = find_application(settings.application).learn(settings)
    made_with = fingerprint(
        lesson.digest, settings.data.augmentation, settings.model, settings.partition, settings.train, settings.seed
    )
    run, blueprint = CHECKPOINTS / settings.label / made_with, lesson.blueprint
    steps = settings.train.epochs * lesson.data.steps_per_epoch
    with replicas.losses_explained():
        compute = choose_compute(settings.train, blueprint.architecture, steps=steps, run=run)
        compute = Compute(**replicas.share_json(asdict(compute)))
        reversible = choose_reversible(
            settings.train.reversible,
            blueprint.architecture,
            {**blueprint.options, "compute_dtype": compute.dtype},
            batch_size=settings.train.batch_size // replicas.count,
            run=run,
        )
        reversible = replicas.share_json(reversible)
        with replicas.scope():
            model = blueprint.build(compute_dtype=compute.dtype, reversible=reversible)
    outcome = training.train(
        model,
        lesson.data,
        settings.train,
        seed=settings.seed,
        folder=settings.model_folder,
        checkpoints=run,
        compute=compute,
        listeners=_listeners(settings, run) if replicas.chief else (),
        replicas=replicas,
    )
    if lesson.finish is not None and replicas.chief:
        # As it was saved: what trained in bfloat16 is measured in float32.
        lesson.finish(FlowModel.load(settings.model_folder), settings.model_folder)
    return outcome


def evaluate(settings: Settings) -> dict[str, Any]:
    """Measure the model on held-out images; metrics, plots, figures and ``report.html`` in ``reports/<application>``.

    Raises:
        FlowModelsError: if there is no model, or it does not fit the shards.
    """
    from flow_models.applications import find_application
    from flow_models.model import FlowModel
    from flow_models.registry.gate import within_bounds
    from flow_models.registry.runs import METRICS, read_metrics
    from flow_models.report.page import Verdict, write_page

    evaluation = find_application(settings.application).evaluate(settings, FlowModel.load(settings.model_folder))
    evaluation.write(settings.report_folder)
    metrics = read_metrics(settings.report_folder / METRICS)
    decision = within_bounds(metrics, settings.register_.gate)
    sentence = "Within the bounds of params.yaml." if decision.passed else "Outside the bounds of params.yaml."
    verdict = Verdict(decision.passed, sentence, decision.reasons)
    write_page(
        evaluation.page(verdict=verdict, facts=_facts(settings), settings=settings),
        settings.report_folder / "report.html",
    )
    return dict(evaluation.metrics)


def register(settings: Settings) -> Registered:
    """Log the run, register the model as challenger, and promote it if it passes the gate.

    One that was broken off is gone on with: the same model is not registered twice by it.

    Raises:
        FlowModelsError: if the model was not evaluated, or MLflow refuses.
    """
    from flow_models.model import FlowModel
    from flow_models.registry import promotion, runs, tracking, unfinished

    model = FlowModel.load(settings.model_folder)
    client, name = tracking.connect(), settings.register_.name
    made_from = _provenance(settings)
    tags = unfinished.identity(made_from, settings.model_folder)
    version = unfinished.resume_version(client, name, tags=tags, parameters=runs.parameters(settings))
    if version is None:
        version = _log_version(settings, client, model, made_from, tags)
    if unfinished.was_promoted(client, name, version):
        passed = version.tags.get(promotion.GATE) == promotion.PASSED
        reasons = version.tags.get(promotion.REASONS, "").splitlines()
    else:
        decision = _decide(settings, client, version, model)
        passed, reasons = decision.passed, decision.reasons
    registered = Registered(
        name=name,
        version=version.number,
        alias=promotion.CHAMPION if passed else promotion.CHALLENGER,
        passed=passed,
        reasons=reasons,
        run_id=version.run_id,
    )
    with complete_file(settings.report_folder / runs.REGISTERED) as file:
        file.write_text(json.dumps(asdict(registered), indent=2) + "\n", encoding="utf-8")
    unfinished.finish(client, name, version)
    ids = {"model": name, "version": version.number, "mlflow_run": version.run_id}
    logger.info("%s version %d is %s", name, version.number, registered.alias, extra=ids)
    return registered


def _log_version(
    settings: Settings, client: MlflowClient, model: FlowModel, made_from: Provenance, tags: Mapping[str, str]
) -> Version:
    """Everything that was measured in a run, the model beside it, and a version of it that is the challenger."""
    from flow_models.applications import find_application
    from flow_models.registry import package, promotion, runs
    from flow_models.saved_model import export

    served = find_application(settings.application).serve(settings, model)
    run_id = runs.log_run(client, settings, made_from)
    with TemporaryDirectory() as folder:
        serving = Path(folder) / "serving"
        export(served.functions, serving)
        uri = package.log_model(run_id, saved_model=serving, flow_model=settings.model_folder, example=served.example)
    return promotion.register_version(client, settings.register_.name, model_uri=uri, run_id=run_id, tags=tags)


def _listeners(settings: Settings, run: Path) -> list[Listener]:
    """Who follows a training: MLflow, and TensorBoard if it is wanted."""
    from flow_models.registry import live, runs
    from flow_models.training.tensorboard import TensorBoard

    parameters = runs.training_parameters(settings)
    mlflow = live.LiveRun(experiment=settings.label, parameters=parameters, checkpoints=run)
    if not settings.train.tensorboard:
        return [mlflow]
    return [mlflow, TensorBoard(TENSORBOARD / settings.label / run.name)]


def _decide(settings: Settings, client: MlflowClient, version: Version, model: FlowModel) -> Decision:
    """Judge the version beside the champion, store why, and promote it if it passed; again if another was faster."""
    from flow_models.applications import find_application
    from flow_models.registry import promotion
    from flow_models.registry.gate import Trial, gate
    from flow_models.registry.runs import METRICS, read_metrics
    from flow_models.registry.trial import meet

    name, metrics = settings.register_.name, read_metrics(settings.report_folder / METRICS)
    frozen = find_application(settings.application).frozen(settings, model)
    measured = Trial(
        digest=frozen.digest,
        unit=frozen.unit,
        losses=frozen.losses(model),
        inversion_error=frozen.inversion_error(model),
    )
    while True:
        champion, place = promotion.champion_and_place(client, name)
        opponent = None if champion is None else meet(client, name, champion, challenger=version, frozen=frozen)
        decision = gate(metrics, replace(measured, champion=opponent), settings.register_)
        promotion.record_decision(client, name, version, decision)
        if not decision.passed or promotion.promote_after(client, name, version, after=place):
            return decision


def _facts(settings: Settings) -> dict[str, str]:
    """Where a report comes from."""
    made_from = _provenance(settings)
    return {
        "data": made_from.source,
        "data digest": made_from.data,
        "git commit": made_from.commit,
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _provenance(settings: Settings) -> Provenance:
    """From which data and which commit the model was made."""
    from flow_models.applications import find_application
    from flow_models.registry.provenance import provenance

    made_from = find_application(settings.application).digests(settings)
    return provenance(made_from.source, manifest=made_from.data, shards=made_from.prepared)
