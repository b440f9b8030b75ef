"""Normalizing flows on TensorFlow Probability, with the whole production line around them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_models.errors import FlowModelsError
    from flow_models.estimators.classifier import FlowClassifier
    from flow_models.estimators.density import FlowDensity
    from flow_models.estimators.outlier_detector import FlowOutlierDetector
    from flow_models.estimators.posterior import FlowPosterior
    from flow_models.evaluation.likelihood import dequantise
    from flow_models.logged_models import load, log_model
    from flow_models.model import FlowModel

__all__ = [
    "FlowClassifier",
    "FlowDensity",
    "FlowModel",
    "FlowModelsError",
    "FlowOutlierDetector",
    "FlowPosterior",
    "dequantise",
    "load",
    "log_model",
]

_HOMES = {
    "FlowClassifier": "flow_models.estimators.classifier",
    "FlowDensity": "flow_models.estimators.density",
    "FlowModel": "flow_models.model",
    "FlowModelsError": "flow_models.errors",
    "FlowOutlierDetector": "flow_models.estimators.outlier_detector",
    "FlowPosterior": "flow_models.estimators.posterior",
    "dequantise": "flow_models.evaluation.likelihood",
    "load": "flow_models.logged_models",
    "log_model": "flow_models.logged_models",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: TensorFlow takes ten seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
