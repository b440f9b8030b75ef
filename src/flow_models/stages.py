"""The pipeline's stages, one function each: the command line, DVC and the Prefect flows all end here.

Each reads what the one before left, and leaves files for the next; ``dvc.yaml`` says which.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flow_models.data.atomic import complete_file
from flow_models.errors import FlowModelsError
from flow_models.settings import MANIFEST, SHARDS, VALIDATION_REPORT, Settings, fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flow_models.data.shards import Index
    from flow_models.registry.promotion import Version
    from flow_models.registry.provenance import Provenance
    from flow_models.training import Outcome
    from flow_models.training.listeners import Listener
    from flow_models.validation.checkpoint import Validation

CHECKPOINTS = Path("checkpoints")
TENSORBOARD = Path("tensorboard")


@dataclass(frozen=True)
class Validated:
    """What ``validate`` found."""

    images: int
    digest: str
    warnings: list[str]


@dataclass(frozen=True)
class Simulated:
    """What ``simulate`` drew."""

    rows: int
    digest: str


@dataclass(frozen=True)
class Registered:
    """What became of a version, and why."""

    name: str
    version: int
    alias: str
    passed: bool
    reasons: list[str]
    run_id: str


def demo(folder: Path) -> int:
    """Write the embedded data; see ``data.demo``."""
    from flow_models.data.demo import write_demo

    return write_demo(folder)


def manifest(settings: Settings) -> Validated:
    """List, read and describe every image of the source, in ``prepared/manifest.parquet``.

    Raises:
        FlowModelsError: if the source cannot be read or is not laid out as train/ and val/.
    """
    from flow_models.data.manifest import build_manifest, manifest_digest, write_manifest
    from flow_models.data.sources import open_source

    table = build_manifest(open_source(settings.data.source), progress=True)
    write_manifest(table, MANIFEST)
    return Validated(len(table), manifest_digest(table), warnings=[])


def validate(settings: Settings) -> Validated:
    """Describe the images and check the table; Data Docs in ``reports/validation``.

    Raises:
        FlowModelsError: if an expectation fails that is not in ``validation.warn_only``.
    """
    from flow_models.data.manifest import read_manifest

    described = manifest(settings)
    # Great Expectations takes seconds to import: not before the source is known to be readable.
    from flow_models.validation.images import validate as check

    table = read_manifest(MANIFEST)
    table.attrs["source"] = settings.data.source.rstrip("/")
    _stop_on_errors(outcome := check(table, settings.validation, docs=VALIDATION_REPORT))
    return Validated(described.images, described.digest, outcome.warnings)


def prepare(settings: Settings) -> Index:
    """Read the images at the network's size into shards, in ``prepared/shards``.

    Raises:
        FlowModelsError: if an image changed since it was validated, or an inlier class is missing.
    """
    from flow_models.data.manifest import read_manifest
    from flow_models.data.shards import write_shards
    from flow_models.data.sources import open_source

    return write_shards(
        read_manifest(MANIFEST),
        open_source(settings.data.source),
        SHARDS,
        shape=settings.data.shape,
        holdout=settings.data.holdout,
        seed=settings.seed,
        inliers=settings.data.inliers,
        megabytes=settings.data.shard_megabytes,
    )


def simulate(settings: Settings) -> Simulated:
    """Draw the table of an application without images, and check it; Data Docs in ``reports/<application>/validation``.

    Raises:
        FlowModelsError: if the table is not what the source promises.
    """
    from flow_models.applications import find_application
    from flow_models.applications.vectors import VectorApplication
    from flow_models.data.tables import write_table
    from flow_models.validation.tables import validate as check

    application = find_application(settings.application)
    if not isinstance(application, VectorApplication):
        raise FlowModelsError(f"{settings.application}: learns from images; `flow-models data shard` prepares those")
    table = application.draw(settings)
    _stop_on_errors(check(table, application.draw(settings), docs=settings.report_folder / "validation"))
    write_table(table, settings.prepared_folder)
    return Simulated(len(table.frame), table.digest)


def train(settings: Settings) -> Outcome:
    """Fit the flow and leave it in ``models/<application>``; continues a run that was interrupted.

    Raises:
        FlowModelsError: if the data are missing or of another shape, or training diverges.
    """
    from flow_models import training
    from flow_models.applications import find_application
    from flow_models.training.memory import choose_reversible
    from flow_models.training.precision import Compute, choose_compute
    from flow_models.training.strategy import choose_replicas

    replicas = choose_replicas()
    lesson = find_application(settings.application).learn(settings)
    made_with = fingerprint(lesson.digest, settings.model, settings.partition, settings.train, settings.seed)
    run, blueprint = CHECKPOINTS / settings.label / made_with, lesson.blueprint
    compute = Compute(**replicas.share_json(asdict(choose_compute(settings.train, run=run))))
    reversible = choose_reversible(
        settings.train.reversible,
        blueprint.architecture,
        {**blueprint.options, "compute_dtype": compute.dtype},
        batch_size=settings.train.batch_size // replicas.count,
    )
    with replicas.scope():
        model = blueprint.build(compute_dtype=compute.dtype, reversible=reversible)
    return training.train(
        model,
        lesson.data,
        settings.train,
        seed=settings.seed,
        folder=settings.model_folder,
        checkpoints=run,
        xla=compute.xla,
        listeners=_listeners(settings, run) if replicas.chief else (),
        replicas=replicas,
    )


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

    Raises:
        FlowModelsError: if the model was not evaluated, or MLflow refuses.
    """
    from flow_models.applications import find_application
    from flow_models.model import FlowModel
    from flow_models.registry import package, promotion, runs, tracking
    from flow_models.saved_model import export

    served = find_application(settings.application).serve(settings, FlowModel.load(settings.model_folder))
    client = tracking.connect()
    made_from = _provenance(settings)
    run_id = runs.log_run(client, settings, made_from, tags={"validation": "passed"})
    with TemporaryDirectory() as folder:
        serving = Path(folder) / "serving"
        export(served.functions, serving)
        uri = package.log_model(run_id, saved_model=serving, flow_model=settings.model_folder, example=served.example)
    name = settings.register_.name
    version = promotion.register_version(client, name, model_uri=uri, run_id=run_id, tags=made_from.tags())
    registered = _decide(settings, client, version)
    with complete_file(settings.report_folder / runs.REGISTERED) as unfinished:
        unfinished.write_text(json.dumps(asdict(registered), indent=2) + "\n", encoding="utf-8")
    return registered


def _listeners(settings: Settings, run: Path) -> list[Listener]:
    """Who follows a training: MLflow, and TensorBoard if it is wanted."""
    from flow_models.registry import live, runs
    from flow_models.training.tensorboard import TensorBoard

    parameters = runs.training_parameters(settings)
    mlflow = live.LiveRun(experiment=settings.application, parameters=parameters, checkpoints=run)
    if not settings.train.tensorboard:
        return [mlflow]
    return [mlflow, TensorBoard(TENSORBOARD / settings.label / run.name)]


def _stop_on_errors(outcome: Validation) -> None:
    if not outcome.passed:
        first, *others = outcome.errors
        more = f" (and {len(others)} more, in {VALIDATION_REPORT / 'index.html'})" if others else ""
        raise FlowModelsError(f"{first}{more}")


def _decide(settings: Settings, client: MlflowClient, version: Version) -> Registered:
    """Promote the version if it passes the gate, and store the reasons with it."""
    from flow_models.registry import promotion
    from flow_models.registry.gate import gate
    from flow_models.registry.runs import METRICS, read_metrics

    wanted = settings.register_
    champion = promotion.at_alias(client, wanted.name, promotion.CHAMPION)
    # Likelihoods compare on the same images only.
    comparable = champion is not None and champion.tags.get("data.shards") == version.tags["data.shards"]
    metrics = champion.metrics if champion is not None and comparable else None
    measured = read_metrics(settings.report_folder / METRICS)
    decision = gate(measured, wanted.gate, metrics, max_regression=wanted.max_regression)
    promotion.record_decision(client, wanted.name, version, decision)
    if decision.passed:
        promotion.promote(client, wanted.name, version=version.number)
    return Registered(
        name=wanted.name,
        version=version.number,
        alias=promotion.CHAMPION if decision.passed else promotion.CHALLENGER,
        passed=decision.passed,
        reasons=decision.reasons,
        run_id=version.run_id,
    )


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
