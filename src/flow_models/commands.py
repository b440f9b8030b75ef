"""What people ask of models and of the registry, one function a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_models.errors import FlowModelsError
from flow_models.settings import EvaluateSettings, Settings

if TYPE_CHECKING:
    from flow_models.applications.image_scoring import Scored
    from flow_models.applications.interpolating import Interpolated
    from flow_models.model import FlowModel


def promote(
    settings: Settings,
    *,
    name: str | None = None,
    version: int | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> dict[str, Any]:
    """Make a version, or the challenger, the champion; a person's decision, which is written down.

    Raises:
        FlowModelsError: if there is no such version, or it needs a reason (see ``registry.promotion``) and has none.
    """
    from flow_models.registry import promotion, provenance, tracking

    name, by = name or settings.register_.name, by or provenance.person()
    made = promotion.promote(tracking.connect_to_existing(), name, version=version, reason=reason, by=by)
    return {"name": name, "champion": made.number, "by": by}


def rollback(
    settings: Settings, *, name: str | None = None, reason: str | None = None, by: str | None = None
) -> dict[str, Any]:
    """Make the previous champion the champion again.

    Raises:
        FlowModelsError: if there is no previous champion.
    """
    from flow_models.registry import promotion, provenance, tracking

    name, by = name or settings.register_.name, by or provenance.person()
    made = promotion.rollback(tracking.connect_to_existing(), name, reason=reason, by=by)
    return {"name": name, "champion": made.number, "by": by}


def status(settings: Settings, *, name: str | None = None) -> dict[str, Any]:
    """The version at each alias, with its likelihood, its data and the gate's decision; the last runs and drift.

    Raises:
        FlowModelsError: if no model of that name is registered.
    """
    from flow_models.registry import promotion, tracking, watching
    from flow_models.registry.gate import LIKELIHOODS

    client, model = tracking.connect_to_existing(), name or settings.register_.name
    versions = promotion.status(client, model)
    champion = versions.get(promotion.CHAMPION)
    stands = {
        alias: {
            "version": each.number,
            **{name: each.metrics[name] for name in LIKELIHOODS if name in each.metrics},
            "data": each.tags.get("data.digest"),
            "commit": each.tags.get("git.commit"),
            "gate": each.tags.get("gate"),
            "promoted": _promoted(each.tags),
        }
        for alias, each in versions.items()
    }
    drift = None if champion is None else watching.last_drift(champion)
    return {**stands, "drift": drift, "runs": watching.last_runs(client, model, versions.values())}


def report(settings: Settings) -> dict[str, Any]:
    """What the last evaluation and registration left, in short.

    Raises:
        FlowModelsError: if nothing was evaluated yet.
    """
    folder = settings.report_folder
    measured = _read_json(folder / "metrics.json", "run `flow-models evaluate`, or `dvc repro`, first")
    registered = _read_json(folder / "registered.json", "run `flow-models register`, or `dvc repro`, first")
    return {
        **{name: value for name, value in measured.items() if isinstance(value, float) or name == "auroc"},
        "registered": f"{registered['name']} version {registered['version']}, {registered['alias']}",
        "gate": registered["reasons"],
        "report": str(folder / "report.html"),
    }


def sample(
    uri: str | Path,
    folder: Path,
    *,
    number: int,
    temperature: float,
    seed: int,
    label: str | None,
    truncation: float | None = None,
) -> dict[str, Any]:
    """Draw from a model into a folder; see ``applications.drawing``.

    Raises:
        FlowModelsError: if there is no such model, or it cannot be drawn from without an observation.
    """
    from flow_models.applications.drawing import write_samples

    files = write_samples(
        _flow_model(uri), folder, number=number, temperature=temperature, seed=seed, label=label, truncation=truncation
    )
    return {"samples": number, "folder": str(folder), "files": len(files)}


def interpolate(uri: str | Path, start: Path, end: Path, folder: Path, *, steps: int, linear: bool) -> Interpolated:
    """What lies between two images; see ``applications.interpolating``.

    Raises:
        FlowModelsError: if there is no such model or image.
    """
    from flow_models.applications.interpolating import write_interpolation

    return write_interpolation(_flow_model(uri), (start, end), folder, steps=steps, linear=linear)


def score(uri: str | Path, source: str, output: Path, *, alpha: float | None, requester_pays: bool) -> Scored:
    """Score the images of a folder or an address; see ``applications.image_scoring``.

    Raises:
        FlowModelsError: if there is no such model or source, or the model is not one of images.
    """
    from flow_models.applications.image_scoring import write_scores
    from flow_models.data.sources import open_source
    from flow_models.evaluation.outlier_score import OutlierScore
    from flow_models.model import FlowModel
    from flow_models.registry.load import resolve

    folder = resolve(uri)
    model = FlowModel.load(folder)
    if len(model.event_shape) == 1:
        raise FlowModelsError(f"{uri}: a model of vectors; outlier scores are of images")
    level = EvaluateSettings().alpha if alpha is None else alpha
    images = open_source(source, requester_pays=requester_pays)
    return write_scores(model, OutlierScore.load(folder), images, output, alpha=level)


def posterior(uri: str | Path, observations: Path, output: Path, *, number: int, seed: int) -> dict[str, Any]:
    """Draw from the posterior of each observation of a file; see ``applications.drawing``.

    Raises:
        FlowModelsError: if there is no such model, or the observations are not what it takes.
    """
    from flow_models.applications.drawing import write_posterior

    summary = write_posterior(_flow_model(uri), observations, output, number=number, seed=seed)
    means, deviations = summary.xs("mean", axis=1, level=1), summary.xs("std", axis=1, level=1)
    shown = {
        f"observation {row}": {
            str(name): f"{means.loc[row, name]:.4g} ± {deviations.loc[row, name]:.2g}" for name in means.columns
        }
        for row in summary.index[:10]
    }
    return {"observations": len(summary), "draws": number, "output": str(output), **shown}


def _flow_model(uri: str | Path) -> FlowModel:
    from flow_models.model import FlowModel
    from flow_models.registry.load import resolve

    return FlowModel.load(resolve(uri))


def _promoted(tags: Mapping[str, str]) -> str | None:
    """When, by whom and why; None if the version never was."""
    said = [tags.get(f"promoted.{key}") for key in ("at", "by", "reason")]
    return None if said[0] is None else "{} by {}: {}".format(*said)


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; {remedy}") from None
    return content
