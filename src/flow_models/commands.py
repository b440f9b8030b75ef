"""What people ask of models and of the registry, one function a command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_models.errors import FlowModelsError
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel


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
    """The version at each alias, with its likelihood, its data and the gate's decision; and the drift found last.

    Raises:
        FlowModelsError: if no model of that name is registered.
    """
    from flow_models import drift_stage
    from flow_models.registry import promotion, tracking
    from flow_models.registry.gate import LIKELIHOODS

    versions = promotion.status(tracking.connect_to_existing(), name or settings.register_.name)
    return {
        alias: {
            "version": each.number,
            **{name: each.metrics[name] for name in LIKELIHOODS if name in each.metrics},
            "data": each.tags.get("data.digest"),
            "commit": each.tags.get("git.commit"),
            "gate": each.tags.get("gate"),
        }
        for alias, each in versions.items()
    } | drift_stage.brief()


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
    uri: str | Path, folder: Path, *, number: int, temperature: float, seed: int, label: str | None
) -> dict[str, Any]:
    """Draw from a model into a folder; see ``applications.drawing``.

    Raises:
        FlowModelsError: if there is no such model, or it cannot be drawn from without an observation.
    """
    from flow_models.applications.drawing import write_samples

    files = write_samples(load(uri), folder, number=number, temperature=temperature, seed=seed, label=label)
    return {"samples": number, "folder": str(folder), "files": len(files)}


def posterior(uri: str | Path, observations: Path, output: Path, *, number: int, seed: int) -> dict[str, Any]:
    """Draw from the posterior of each observation of a file; see ``applications.drawing``.

    Raises:
        FlowModelsError: if there is no such model, or the observations are not what it takes.
    """
    from flow_models.applications.drawing import write_posterior

    summary = write_posterior(load(uri), observations, output, number=number, seed=seed)
    means, deviations = summary.xs("mean", axis=1, level=1), summary.xs("std", axis=1, level=1)
    shown = {
        f"observation {row}": {
            str(name): f"{means.loc[row, name]:.4g} ± {deviations.loc[row, name]:.2g}" for name in means.columns
        }
        for row in summary.index[:10]
    }
    return {"observations": len(summary), "draws": number, "output": str(output), **shown}


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
