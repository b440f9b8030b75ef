"""What inverse kinematics, gravity and surface waves have in common: a simulator, posteriors, and their calibration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flow_models.applications import posterior_pictures as pictures
from flow_models.applications.base import Evaluation
from flow_models.applications.posterior import AT_ONCE, Posteriors, posteriors_of, warnings_about
from flow_models.applications.posterior_measures import LEVELS, Calibration, calibrate, measures
from flow_models.applications.sources import Simulated
from flow_models.applications.vectors import Source, VectorApplication
from flow_models.data.tables import Rows, read_table
from flow_models.errors import FlowModelsError
from flow_models.evaluation.calibration import coverage
from flow_models.evaluation.likelihood import mean_and_standard_error
from flow_models.report.page import Headline, Section, Table
from flow_models.settings import Settings
from flow_models.simulators.base import Array, Simulator

if TYPE_CHECKING:
    from flow_models.model import FlowModel

_CONDITIONING = {
    "parts": "the observation is a part y of the latent side, (y, z)",
    "context": "the observation is the context of the network, f(x; y)",
}


@dataclass(frozen=True)
class Findings:
    """What an application measures beyond what all inverse problems do; merged into its evaluation."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    headlines: Sequence[Headline] = ()
    sections: Sequence[Section] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


class InverseProblem(VectorApplication):
    """Parameters from observations: a subclass says what simulates, and what to compare its posterior with."""

    title: str
    unit: str  # of the observations

    @abstractmethod
    def simulator(self, settings: Settings) -> Simulator:
        """The prior, and the forward model with its noise."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Noise-free observations ``(n, m)`` of parameters ``(n, p)``."""

    def findings(self, settings: Settings, model: FlowModel, posteriors: Posteriors) -> Findings:
        """Measures and pictures of this application's own."""
        del settings, model, posteriors
        return Findings()

    def source(self, settings: Settings) -> Source:
        """Draws of the simulator."""
        return Simulated(self.simulator(settings))

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure likelihood, resimulation and calibration on fresh simulations.

        Raises:
            FlowModelsError: if the model is not one of these observations.
        """
        table = read_table(settings.prepared_folder)
        rows, names = table.rows("test"), table.columns.x
        some = _first(rows, settings.evaluate.posteriors)
        posteriors = posteriors_of(model, some, draws=settings.evaluate.draws, seed=settings.seed)
        found = calibrate(posteriors, model, rows, local_pairs=settings.evaluate.local_pairs, seed=settings.seed)
        own = self.findings(settings, model, posteriors)
        metrics = {
            **likelihood(posteriors),
            "resimulation_error": self.resimulation(posteriors.x, posteriors.y, truth=posteriors.truth),
            "observations_outside_training": len(warnings_about(model, posteriors.y)),
            "calibration": measures(found, names),
            **own.metrics,
        }
        sections = [
            *own.sections,
            _calibration_section(found, posteriors, metrics, names),
            self._posterior_section(posteriors, rows, names),
        ]
        return Evaluation(
            title=self.title,
            summary=self._summary(settings, posteriors, metrics),
            metrics=metrics,
            tables={"coverage": _coverage_table(found), **own.tables},
            headlines=[*own.headlines, *self._headlines(metrics)],
            sections=sections,
        )

    def resimulation(self, samples: Array, y: Array, *, truth: Array | None = None) -> dict[str, float]:
        """How far the observations of posterior samples lie from those that they were inferred from.

        ``Err_resim`` of Kruse et al. 2021, section 2: the mean of ‖f(x̂) − y‖², f without noise. An exact posterior has
        that of the truth on average, which is the noise alone.

        Args:
            samples: ``(n, draws, p)``.
            y: ``(n, m)``.
            truth: ``(n, p)``.

        Returns:
            ``mean`` and ``median`` over all samples, ``truth`` if that is given, in the observations' unit, squared;
            ``failed``, the share of samples that cannot be simulated and are left out.

        Raises:
            FlowModelsError: if none can be simulated.
        """
        flat = samples.reshape(-1, samples.shape[-1])
        parts = [self.forward(flat[start : start + AT_ONCE]) for start in range(0, len(flat), AT_ONCE)]
        error = ((np.concatenate(parts) - np.repeat(y, samples.shape[1], axis=0)) ** 2).sum(axis=1)
        finite = error[np.isfinite(error)]
        if not finite.size:
            raise FlowModelsError(
                f"{self.name}: none of {len(error)} posterior samples can be simulated; train longer, or correct the "
                "simulator"
            )
        of_truth = {} if truth is None else {"truth": float(((self.forward(truth) - y) ** 2).sum(axis=1).mean())}
        failed = 1 - finite.size / error.size
        return {"mean": float(finite.mean()), "median": float(np.median(finite)), **of_truth, "failed": failed}

    def _summary(self, settings: Settings, posteriors: Posteriors, metrics: Mapping[str, Any]) -> str:
        n, draws, _ = posteriors.x.shape
        sbc = metrics["calibration"]["sbc"]["parameters_outside_jointly"]
        return (
            f"Measured on {n:,} fresh simulations with {draws:,} posterior samples each; "
            f"{_CONDITIONING[settings.partition.conditioning]}. Ranks of "
            f"{f'{sbc} parameters leave' if sbc else 'all parameters stay in'} the simultaneous 95 % band."
        )

    def _headlines(self, metrics: Mapping[str, Any]) -> list[Headline]:
        resimulated, tests = metrics["resimulation_error"], metrics["calibration"]
        loss, error = (metrics[name] for name in ("negative_log_likelihood", "negative_log_likelihood_se"))
        return [
            Headline(
                "resimulation error",
                f"{resimulated['mean']:.3g}",
                f"{self.unit}², the truth's being {resimulated['truth']:.3g}",
            ),
            Headline("coverage error", f"{tests['coverage_error']:.3f}", "of central intervals, 0 being calibrated"),
            Headline("fresh parameters", f"{loss:.3f}", f"nats given their observations, ± {error:.3f}"),
        ]

    def _posterior_section(self, posteriors: Posteriors, rows: Rows, names: Sequence[str]) -> Section:
        first = {"posterior": posteriors.x[0], "prior": rows.x.astype(np.float64)}
        return Section(
            "Posteriors",
            "Samples at observations whose parameters are known.",
            pictures={
                "recovery": pictures.recovery(posteriors, names),
                "marginals": pictures.marginals(
                    first, names, truth=posteriors.truth[0], where="the first test observation"
                ),
            },
        )


def likelihood(posteriors: Posteriors) -> dict[str, float]:
    """Of true parameters given their observations, in nats.

    With either conditioning this is ``-log p(x | y)``, and they compare; where ε is an input too, it is
    ``-log p(x, ε | y)``, which does not compare with a model without.
    """
    loss, error = mean_and_standard_error(-posteriors.log_prob_truth)
    return {"negative_log_likelihood": loss, "negative_log_likelihood_se": error}


def _calibration_section(
    found: Calibration, posteriors: Posteriors, metrics: Mapping[str, Any], names: Sequence[str]
) -> Section:
    tests, local = metrics["calibration"], metrics["calibration"].get("local_c2st")
    of_local = f"Local C2ST rejects {local['rejected']:.0%} of 20 observations at 5 %. " if local else ""
    text = (
        f"A posterior is calibrated if each truth looks like one more of its samples, here of "
        f"{posteriors.x.shape[1]:,} at {len(posteriors.x):,} observations. p-values of uniformity: "
        f"{tests['hpd_p_value']:.3g} for highest-density regions, {tests['tarp_p_value']:.3g} for TARP, whose "
        f"reference points follow the observation. {of_local}"
        "Contraction is the share of the prior's variance that the observation took away; z is the distance of "
        "posterior mean and truth in posterior deviations."
    )
    every = [
        *zip(names, *(tests[key].values() for key in ("contraction", "z_score_mean", "z_score_deviation")), strict=True)
    ]
    table = Table(
        "By parameter; z should have mean 0, and deviation 1 if posteriors are near Gaussian",
        ["Parameter", "contraction", "mean of z", "deviation of z"],
        [
            [name, *(f"{value:.3f}" for value in values)]
            for name, *values in (every[each] for each in pictures.shown(names))
        ],
    )
    return Section(
        "Calibration",
        text,
        tables=[table],
        pictures={"sbc": pictures.ranks(found, names), "coverage": pictures.coverages(found)},
    )


def _coverage_table(found: Calibration) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "level": LEVELS.round(6),
            "central": found.central.mean(axis=1),
            "hpd": coverage(found.hpd, LEVELS),
            "tarp": coverage(found.tarp, LEVELS),
        }
    )


def _first(rows: Rows, number: int) -> Rows:
    return Rows(x=rows.x[:number], noise=rows.noise[:number], y=rows.y[:number])
