"""Which applications dvc.yaml has, and through which stages each goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flow_models.errors import FlowModelsError

PROJECT = Path(__file__).resolve().parents[1]


def _in_matrix(stage: str) -> list[str]:
    stages: dict[str, Any] = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    found: list[str] = stages.get(stage, {}).get("matrix", {}).get("application", [])
    return found


OF_IMAGES, OF_VECTORS = _in_matrix("train"), _in_matrix("train-vectors")


def stages_of(application: str) -> list[str]:
    """The stages of dvc.yaml that an application goes through, in order.

    Raises:
        FlowModelsError: if dvc.yaml does not have it.
    """
    if application in OF_IMAGES:
        return ["validate", "prepare", *(f"{stage}@{application}" for stage in ("train", "evaluate", "register"))]
    if application in OF_VECTORS:
        stages = ("simulate", "train-vectors", "evaluate-vectors", "register-vectors")
        return [f"{stage}@{application}" for stage in stages]
    raise FlowModelsError(f"application: dvc.yaml has no {application}; it has {', '.join([*OF_IMAGES, *OF_VECTORS])}")
