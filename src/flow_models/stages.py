"""The pipeline's stages, one function each: the command line, DVC and the Prefect flows all end here.

Each reads what the one before left, and leaves files for the next; ``dvc.yaml`` says which. The stages
before training are in ``data_stages``.
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
from flow_models.settings import MANIFEST, SHARDS, Settings, fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from flow_models.model import FlowModel
    from flow_models.registry.promotion import Version
    from flow_models.registry.provenance import Provenance
    from flow_models.training import Outcome

CHECKPOINTS = Path("checkpoints")


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
        FlowModelsError: if the shards are missing or of another shape, or training diverges.
    """
    from flow_models import training
    from flow_models.data.pipeline import load_split, training_batches
    from flow_models.data.shards import read_index
    from flow_models.model import FlowModel
    from flow_models.training.precision import choose_precision

    index = read_index(SHARDS)
    if index.shape != settings.data.shape:
        raise FlowModelsError(
            f"{SHARDS}: images are {index.shape}, but data in params.yaml says {settings.data.shape}; prepare them anew"
        )
    size, seed = settings.train.batch_size, settings.seed
    run = CHECKPOINTS / settings.application / fingerprint(index.digest, settings.model, settings.train, seed)
    return training.train(
        FlowModel(
            settings.model.architecture,
            {**settings.model.model_dump(exclude={"architecture"}), "image_shape": index.shape, "seed": seed},
            compute_dtype=choose_precision(settings.train.precision),
            reversible=settings.train.reversible,
        ),
        training.TrainingData(
            batches=lambda epoch, skip: training_batches(SHARDS, batch_size=size, seed=seed, epoch=epoch, skip=skip),
            steps_per_epoch=index.splits["train"].count // size,
            holdout=load_split(SHARDS, "holdout").images,
        ),
        settings.train,
        seed=seed,
        folder=settings.model_folder,
        checkpoints=run,
    )


def evaluate(settings: Settings) -> dict[str, Any]:
    """Measure the model on held-out images; metrics, plots, figures and ``report.html`` in ``reports/<application>``.

    Raises:
        FlowModelsError: if there is no model, or it does not fit the shards.
    """
    from flow_models.applications import APPLICATIONS
    from flow_models.model import FlowModel
    from flow_models.registry.gate import within_bounds
    from flow_models.registry.runs import METRICS, read_metrics
    from flow_models.report.page import Verdict, write_page

    evaluation = APPLICATIONS[settings.application].evaluate(settings, FlowModel.load(settings.model_folder))
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
    from flow_models.data.pipeline import load_split
    from flow_models.registry import package, promotion, runs, tracking

    client = tracking.connect()
    made_from = _provenance(settings)
    run_id = runs.log_run(client, settings, made_from, tags={"validation": "passed"})
    with TemporaryDirectory() as folder:
        serving = Path(folder) / "serving"
        _export(settings, serving)
        example = load_split(SHARDS, "holdout").images[:2]
        uri = package.log_model(run_id, saved_model=serving, flow_model=settings.model_folder, example=example)
    name = settings.register_.name
    version = promotion.register_version(client, name, model_uri=uri, run_id=run_id, tags=made_from.tags())
    registered = _decide(settings, client, version)
    with complete_file(settings.report_folder / runs.REGISTERED) as unfinished:
        unfinished.write_text(json.dumps(asdict(registered), indent=2) + "\n", encoding="utf-8")
    return registered


def promote(settings: Settings, *, name: str | None = None, version: int | None = None) -> dict[str, Any]:
    """Make a version, or the challenger, the champion; a person's decision, not the gate's.

    Raises:
        FlowModelsError: if there is no such version.
    """
    from flow_models.registry import promotion, tracking

    name = name or settings.register_.name
    return {"name": name, "champion": promotion.promote(tracking.connect_to_existing(), name, version=version).number}


def rollback(settings: Settings, *, name: str | None = None) -> dict[str, Any]:
    """Make the previous champion the champion again.

    Raises:
        FlowModelsError: if there is no previous champion.
    """
    from flow_models.registry import promotion, tracking

    name = name or settings.register_.name
    return {"name": name, "champion": promotion.rollback(tracking.connect_to_existing(), name).number}


def status(settings: Settings, *, name: str | None = None) -> dict[str, Any]:
    """The version at each alias, with its likelihood, its data and the gate's decision.

    Raises:
        FlowModelsError: if no model of that name is registered.
    """
    from flow_models.registry import promotion, tracking

    versions = promotion.status(tracking.connect_to_existing(), name or settings.register_.name)
    return {
        alias: {
            "version": each.number,
            "bits_per_dim": each.metrics.get("bits_per_dim"),
            "data": each.tags.get("data.digest"),
            "commit": each.tags.get("git.commit"),
            "gate": each.tags.get("gate"),
        }
        for alias, each in versions.items()
    }


def report(settings: Settings) -> dict[str, Any]:
    """What the last evaluation and registration left, in short.

    Raises:
        FlowModelsError: if nothing was evaluated yet.
    """
    folder = settings.report_folder
    measured = _read_json(folder / "metrics.json", "run `flow-models evaluate`, or `dvc repro`, first")
    registered = _read_json(folder / "registered.json", "run `flow-models register`, or `dvc repro`, first")
    return {
        "bits_per_dim": measured["bits_per_dim"],
        "auroc": measured["auroc"],
        "registered": f"{registered['name']} version {registered['version']}, {registered['alias']}",
        "gate": registered["reasons"],
        "report": str(folder / "report.html"),
    }


def load(uri: str | Path) -> FlowModel:
    """A model by its address: a folder, ``models:/NAME@champion`` or ``models:/NAME/VERSION``.

    Raises:
        FlowModelsError: if there is none, or it is damaged.
    """
    from flow_models.model import FlowModel
    from flow_models.registry.load import resolve

    return FlowModel.load(resolve(uri))


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; {remedy}") from None
    return content


def _export(settings: Settings, folder: Path) -> None:
    """The model as a SavedModel, with the noise and the expected likelihood that evaluation used."""
    import numpy as np

    from flow_models.applications.image_scores import log_density
    from flow_models.data.pipeline import load_split
    from flow_models.evaluation.likelihood import dequantise
    from flow_models.model import FlowModel
    from flow_models.saved_model import ImageServing, export

    model = FlowModel.load(settings.model_folder)
    noise = dequantise(np.zeros((1, *model.event_shape), np.uint8), seed=settings.seed)[0]
    holdout = log_density(settings, model, load_split(SHARDS, "holdout"), name="holdout")
    export(ImageServing(model, noise=noise, expected_log_prob=float(holdout.mean())), folder)


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
        "data": settings.data.source,
        "data digest": made_from.data,
        "git commit": made_from.commit,
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _provenance(settings: Settings) -> Provenance:
    """From which data and which commit the model was made."""
    from flow_models.data.manifest import manifest_digest, read_manifest
    from flow_models.data.shards import read_index
    from flow_models.registry.provenance import provenance

    images = manifest_digest(read_manifest(MANIFEST))
    return provenance(settings.data.source, manifest=images, shards=read_index(SHARDS).digest)
