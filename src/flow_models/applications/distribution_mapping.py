"""A cloud of points in the plane, mapped to N(0, I) and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flow_models.applications.base import Evaluation
from flow_models.applications.sources import Points
from flow_models.applications.vectors import VectorApplication
from flow_models.data.tables import read_table
from flow_models.errors import FlowModelsError
from flow_models.evaluation.likelihood import mean_and_standard_error
from flow_models.report.page import Headline
from flow_models.settings import Settings
from flow_models.simulators.point_sets import POINT_SETS

if TYPE_CHECKING:
    from flow_models.model import FlowModel


class DistributionMapping(VectorApplication):
    """Trained on points of a set named by ``data.source``, the model has their density and draws more."""

    name = "distribution_mapping"

    def source(self, settings: Settings) -> Points:
        """The set of points."""
        if settings.data.source not in POINT_SETS:
            raise FlowModelsError(
                f"data.source: there is no point set {settings.data.source}; known: {', '.join(POINT_SETS)}"
            )
        return Points(POINT_SETS[settings.data.source])

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure the likelihood of fresh points."""
        test = read_table(settings.prepared_folder).rows("test").x
        loss, error = mean_and_standard_error(-np.asarray(model.log_prob(test), np.float64))
        metrics = {"negative_log_likelihood": loss, "negative_log_likelihood_se": error}
        return Evaluation(
            title="Distribution mapping",
            summary=f"Measured on {len(test):,} fresh points of {settings.data.source}.",
            metrics=metrics,
            tables={},
            headlines=[Headline("fresh points", f"{loss:.3f}", f"nats, ± {error:.3f}")],
            sections=[],
        )


APPLICATION = DistributionMapping()
