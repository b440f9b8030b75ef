"""A saved estimator of whatever kind, read from its folder."""

from __future__ import annotations

import json
from pathlib import Path

from flow_models.errors import FlowModelsError
from flow_models.estimators.base import DESCRIPTION, FlowEstimator
from flow_models.estimators.classifier import FlowClassifier
from flow_models.estimators.density import FlowDensity
from flow_models.estimators.outlier_detector import FlowOutlierDetector
from flow_models.estimators.posterior import FlowPosterior

KINDS: dict[str, type[FlowEstimator]] = {
    kind.__name__: kind for kind in (FlowDensity, FlowOutlierDetector, FlowClassifier, FlowPosterior)
}


def load_estimator(folder: Path) -> FlowEstimator:
    """The estimator that ``save`` wrote to the folder, of its own class.

    Raises:
        FlowModelsError: if the folder holds no estimator of this version, or a damaged one.
    """
    try:
        kind = KINDS[json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["estimator"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise FlowModelsError(
            f"{folder}: {DESCRIPTION} names none of {', '.join(KINDS)}; save a fitted estimator first"
        ) from None
    return kind.load(folder)
