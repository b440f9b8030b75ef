"""Record a training in MLflow: parameters, metrics, curves, report, data."""

from __future__ import annotations

import csv
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset

from flow_models.data.manifest import manifest_digest, read_manifest
from flow_models.errors import FlowModelsError
from flow_models.registry.curves import log_rows
from flow_models.registry.live import open_run_of
from flow_models.registry.provenance import Provenance
from flow_models.registry.tracking import experiment_id, explained
from flow_models.registry.unfinished import find_unfinished_run, identity
from flow_models.settings import MANIFEST, Settings

METRICS = "metrics.json"
HISTORY = "history.csv"
REGISTERED = "registered.json"
DATA = "data"  # the folder of a run's artifacts in which the manifest is


def log_run(client: MlflowClient, settings: Settings, made_from: Provenance) -> str:
    """Record what the stages before left in ``models/<application>`` and ``reports/<application>``.

    The run is the one in which the model was trained; where that may not be (see ``open_run_of``) the one that an
    attempt before this one began, or a new one.

    Args:
        client: of the store, from ``connect``.
        settings: all of them become parameters.
        made_from: becomes the dataset's digest and tags.

    Returns:
        The id of the run, in the experiment named after the application.

    Raises:
        FlowModelsError: if the model was not evaluated, or MLflow refuses the run.
    """
    metrics, params = read_metrics(settings.report_folder / METRICS), parameters(settings)
    tags = identity(made_from, settings.model_folder)
    # The last is the tag by which MLflow's own page shows and links the commit.
    all_tags = {**tags, "validation": "passed", "mlflow.source.git.commit": made_from.commit}
    with explained("record the run"):
        experiment = experiment_id(client, settings.label)
        begun = open_run_of(client, settings.model_folder, params) or find_unfinished_run(
            client, experiment, tags=tags, parameters=params
        )
        # A new run has its tags from its first moment: by them it is found again.
        with mlflow.start_run(run_id=begun, experiment_id=experiment, tags=all_tags) as run:
            mlflow.log_params(params)
            mlflow.log_metrics({mlflow_name(name): value for name, value in metrics.items()})
            mlflow.log_input(_dataset(made_from), context="training")
            _log_history(client, run.info.run_id, settings.model_folder / HISTORY)
            _log_report(settings.report_folder)
            if MANIFEST.is_file() and manifest_digest(read_manifest(MANIFEST)) == made_from.manifest:
                mlflow.log_artifact(str(MANIFEST), artifact_path=DATA)  # what later images are compared with
    return str(run.info.run_id)


def read_metrics(path: Path) -> dict[str, float]:
    """The numbers of a metrics.json by flat name: ``{"auroc": {"cat": 0.9}}`` has ``auroc.cat``.

    Raises:
        FlowModelsError: if there is no such file.
    """
    try:
        return dict(_numbers(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; evaluate the model first") from None


def parameters(settings: Settings) -> dict[str, str]:
    """Every setting by its place in params.yaml, as text: ``train.batch_size``."""
    content = settings.model_dump(mode="json", by_alias=True)
    return {mlflow_name(key): value if isinstance(value, str) else json.dumps(value) for key, value in _leaves(content)}


def training_parameters(settings: Settings) -> dict[str, str]:
    """Those parameters that a training depends on, whatever is set anew before its model is registered."""
    fixed = ("application", "seed", "model.", "train.")
    return {name: value for name, value in parameters(settings).items() if name.startswith(fixed)}


def mlflow_name(name: str) -> str:
    """A name that MLflow accepts: class folders may be called what they like, its metrics may not."""
    return re.sub(r"[^\w.\- :]", "_", name)


def _numbers(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in _leaves(content):
        if value is None:  # how a metric that could not be computed stands in JSON
            yield name, math.nan
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _dataset(made_from: Provenance) -> MetaDataset:
    with warnings.catch_warnings():
        # MLflow finds its own reader of local folders twice, and says so.
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
        source = resolve_dataset_source(made_from.source)
    return MetaDataset(
        source=source,
        name=made_from.source.rstrip("/").rsplit("/", 1)[-1],
        digest=made_from.data,
    )


def _log_history(client: MlflowClient, run_id: str, path: Path) -> None:
    """What the run does not have from the training itself."""
    with path.open(newline="", encoding="utf-8") as file:
        log_rows(client, run_id, csv.DictReader(file))


def _log_report(folder: Path) -> None:
    """The report's files, but for the result of an earlier registration, which tells of another run."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != REGISTERED:
            mlflow.log_artifact(str(path), artifact_path=str(Path("report") / path.parent.relative_to(folder)))
