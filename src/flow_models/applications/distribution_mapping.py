"""A cloud of points in the plane, mapped to N(0, I) and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.applications.base import Evaluation
from flow_models.applications.plane_pictures import frame_around, heat_maps, points_beside, warped_grid
from flow_models.applications.sources import Points
from flow_models.applications.vectors import VectorApplication
from flow_models.data.tables import read_table
from flow_models.errors import FlowModelsError
from flow_models.evaluation.likelihood import mean_and_standard_error
from flow_models.evaluation.two_sample import c2st
from flow_models.report.page import Headline, Section
from flow_models.settings import Settings
from flow_models.simulators.point_sets import POINT_SETS, PointSet

if TYPE_CHECKING:
    from flow_models.model import FlowModel

NAMES = ("x_1", "x_2")
COMPARED = 10_000  # points of either kind; more would let the classifier's training take minutes


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
        """Measure the likelihood of fresh points, and how well samples are told from them."""
        test = read_table(settings.prepared_folder).rows("test").x
        points = self.source(settings).points
        samples = np.asarray(model.sample(len(test), seed=settings.seed))
        metrics = likelihood_metrics(test, model=model, points=points)
        metrics["c2st"] = c2st(test[:COMPARED], samples[:COMPARED], seed=settings.seed)
        return Evaluation(
            title=f"Distribution mapping: {points.name.replace('_', ' ')}",
            summary=_summary(points, metrics, number=len(test)),
            metrics=metrics,
            tables={"points": _point_table({"data": test, "samples": samples})},
            headlines=_headlines(metrics),
            sections=_sections(points, model, test=test, samples=samples),
        )


APPLICATION = DistributionMapping()


def likelihood_metrics(test: NDArray[np.float32], *, model: FlowModel, points: PointSet) -> dict[str, float]:
    """Mean loss on test points ``(n, 2)`` in nats and, where the density is known, its excess over the truth's.

    The excess is the mean of ``log p_true - log p_model`` on the same points, which estimates their Kullback-Leibler
    divergence with far less noise than a difference of two means would.
    """
    log_prob = np.asarray(model.log_prob(test), np.float64)
    loss, error = mean_and_standard_error(-log_prob)
    metrics = {"negative_log_likelihood": loss, "negative_log_likelihood_se": error}
    if points.log_prob is not None:
        truth = points.log_prob(test.astype(np.float64))
        inside = np.isfinite(truth)  # rounded to float32, a point may fall over an edge of the checkerboard
        gap, gap_error = mean_and_standard_error((truth - log_prob)[inside])
        metrics |= {"gap_to_truth": gap, "gap_to_truth_se": gap_error}
    return metrics


def _summary(points: PointSet, metrics: Mapping[str, float], *, number: int) -> str:
    loss, error = metrics["negative_log_likelihood"], metrics["negative_log_likelihood_se"]
    text = f"Measured on {number:,} fresh points of {points.name.replace('_', ' ')}: {loss:.3f} ± {error:.3f} nats."
    if "gap_to_truth" in metrics:
        text += f" The true density has {metrics['gap_to_truth']:.3f} ± {metrics['gap_to_truth_se']:.3f} nats less."
    return f"{text} A classifier tells samples from data in {metrics['c2st']:.1%} of the cases, where 50 % is chance."


def _headlines(metrics: Mapping[str, float]) -> list[Headline]:
    error = metrics["negative_log_likelihood_se"]
    lines = [Headline("fresh points", f"{metrics['negative_log_likelihood']:.3f}", f"nats, ± {error:.3f}")]
    if "gap_to_truth" in metrics:
        note = f"nats, ± {metrics['gap_to_truth_se']:.4f}; 0 is perfect"
        lines.append(Headline("above the true density", f"{metrics['gap_to_truth']:.4f}", note))
    return [*lines, Headline("classifier's accuracy", f"{metrics['c2st']:.3f}", "0.5 if samples and data are alike")]


def _sections(
    points: PointSet, model: FlowModel, *, test: NDArray[np.float32], samples: NDArray[np.float32]
) -> list[Section]:
    frame = frame_around(test)
    densities = {"model": model.log_prob}
    if points.log_prob is not None:
        densities["truth"] = points.log_prob
    return [
        Section(
            "Samples",
            "Whether the model draws what the data are like. C2ST is the held-out accuracy of a neural network that "
            "is trained to tell the two sets apart.",
            pictures={"samples": points_beside({"data": test, "samples": samples}, names=NAMES)},
        ),
        Section(
            "Density",
            "By the change of variables, exact and normalised. A flow is continuous and the plane in one piece, so "
            "what joins separate clusters is a thin bridge of low density.",
            pictures={
                "density": heat_maps(densities, frame, names=NAMES),
                "warped_grid": warped_grid(model.decode, frame, names=NAMES),
            },
        ),
    ]


def _point_table(sets: Mapping[str, NDArray[np.float32]]) -> pd.DataFrame:
    """Columns x_1, x_2, set."""
    return pd.concat([pd.DataFrame(x, columns=list(NAMES)).assign(set=name) for name, x in sets.items()])
