"""Which joints put the end of an arm at a point (Kruse et al. 2021)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flow_models.applications import posterior_pictures as pictures
from flow_models.applications.inverse_problem import Findings, InverseProblem
from flow_models.applications.posterior import Posteriors, draw
from flow_models.evaluation.likelihood import mean_and_standard_error
from flow_models.evaluation.two_sample import mmd_squared
from flow_models.report.arms import arms
from flow_models.report.page import Headline, Picture, Section, Table
from flow_models.settings import Settings
from flow_models.simulators.base import Array
from flow_models.simulators.kinematics import (
    WIDTH,
    InverseKinematics,
    arm_points,
    end_point,
    exact_log_prob,
    exact_posterior,
)

if TYPE_CHECKING:
    from flow_models.model import FlowModel

HARD_POINT = (1.5, 0.0)  # far from the prior's bulk, with the widest choice of joints
SAMPLES = 1000  # of a posterior, by the benchmark's definition
_TARGETS = 2  # a stream of random numbers that no simulations come from
_DRAWN = 100  # arms


class ArmJoints(InverseProblem):
    """Trained on joints and the end points that they cause, the model gives all joints that reach a point.

    The benchmark's reference is the posterior under a likelihood of width σ = 0.01 about an exact end point. The
    model is trained on end points with noise N(0, σ²), for which that is the posterior; its floor of ``Err_resim``
    is 2σ² = 0.0002.
    """

    name = "inverse_kinematics"
    title = "Inverse kinematics"
    unit = "arm unit"

    def simulator(self, settings: Settings) -> InverseKinematics:
        """The arm, its end measured with σ = 0.01."""
        del settings
        return InverseKinematics(sigma=WIDTH)

    def forward(self, x: Array) -> Array:
        """Exact end points."""
        return end_point(x)

    def findings(self, settings: Settings, model: FlowModel, posteriors: Posteriors) -> Findings:
        """The benchmark's two errors, also at the hard point, and the divergence from the exact posterior."""
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(_TARGETS,)))
        benchmark = self._benchmark(settings, model, rng)
        hard = np.array(HARD_POINT)
        ours = draw(model, hard[None].astype(np.float32), SAMPLES, seed=settings.seed)[0]
        exact = exact_posterior(hard, SAMPLES, rng)
        divergence, error = mean_and_standard_error(
            exact_log_prob(posteriors.truth, posteriors.y, rng) - posteriors.log_prob_truth
        )
        metrics = {
            "benchmark": benchmark,
            "hard_point": {
                "posterior_error": mmd_squared(ours, exact),
                "resimulation_error": self.resimulation(ours[None], hard[None])["mean"],
            },
            "divergence": divergence,
            "divergence_se": error,
        }
        return Findings(
            metrics=metrics,
            headlines=_headlines(benchmark),
            sections=[_section(metrics, self.simulator(settings).parameters, ours, exact)],
        )

    def _benchmark(self, settings: Settings, model: FlowModel, rng: np.random.Generator) -> dict[str, Any]:
        """Over targets y* = f(x), x from the prior: exact end points, unlike those of the test."""
        number = settings.evaluate.references
        targets = end_point(self.simulator(settings).draw_prior(number, rng))
        samples = draw(model, targets.astype(np.float32), SAMPLES, seed=settings.seed)
        errors = [mmd_squared(ours, exact_posterior(y, SAMPLES, rng)) for ours, y in zip(samples, targets, strict=True)]
        mean, error = mean_and_standard_error(errors)
        resimulated = self.resimulation(samples, targets)
        return {
            "targets": number,
            "posterior_error": mean,
            "posterior_error_se": error,
            "posterior_error_median": float(np.median(errors)),
            "resimulation_error": resimulated["mean"],
            "resimulation_error_median": resimulated["median"],
        }


APPLICATION = ArmJoints()


def _headlines(benchmark: dict[str, Any]) -> list[Headline]:
    note = (
        f"squared MMD from the exact posterior, ± {benchmark['posterior_error_se']:.2g}; {benchmark['targets']} targets"
    )
    return [
        Headline("Err_post", f"{benchmark['posterior_error']:.2g}", note),
        Headline("Err_resim", f"{benchmark['resimulation_error']:.2g}", f"squared distance; floor {2 * WIDTH**2:.1g}"),
    ]


def _section(metrics: dict[str, Any], names: Any, ours: Array, exact: Array) -> Section:
    benchmark, hard = metrics["benchmark"], metrics["hard_point"]
    table = Table(
        "Mean over targets, median, and the hard point",
        ["Measure", "mean", "median", f"at {HARD_POINT}"],
        [
            [
                name,
                *(f"{value:.2e}" for value in (benchmark[key], benchmark[f"{key}_median"], hard[key])),
            ]
            for name, key in (("Err_post", "posterior_error"), ("Err_resim", "resimulation_error"))
        ],
    )
    picture = Picture(
        arms({"model": arm_points(ours[:_DRAWN]), "exact posterior": arm_points(exact[:_DRAWN])}, target=HARD_POINT),
        f"Arms that end at {HARD_POINT}",
        f"{_DRAWN} samples of joints, drawn as the arms that they make: height on the rail and three angles. All end "
        "at the target, which is marked.",
        "Two panels of arms drawn over each other: the model's and the exact posterior's.",
    )
    return Section(
        "Against the exact posterior",
        f"Err_post is the unbiased squared MMD of {SAMPLES:,} samples of the model from as many of the posterior with "
        f"a likelihood of width {WIDTH}, at end points of the prior; Err_resim the squared distance of the samples' "
        "end points from the target (Kruse et al. 2021). The divergence of the model from the exact posterior is "
        f"{metrics['divergence']:.3f} ± {metrics['divergence_se']:.3f} nats.",
        tables=[table],
        pictures={
            "arms": picture,
            "hard_point": pictures.marginals(
                {"model": ours, "exact posterior": exact}, names, truth=None, where=f"the end point {HARD_POINT}"
            ),
        },
    )
