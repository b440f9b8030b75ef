"""Which layers make surface waves travel as fast as they were measured, with noise (after Zhang & Curtis 2021)?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from flow_models.applications import reference_posteriors
from flow_models.applications.inverse_problem import Findings, InverseProblem
from flow_models.applications.posterior import Posteriors
from flow_models.applications.sources import Measured
from flow_models.data.tables import Rows
from flow_models.report.fans import Fan, fans
from flow_models.report.page import Picture
from flow_models.settings import Settings
from flow_models.simulators.base import Array
from flow_models.simulators.seismic import LAYERS, NOISE, PERIODS, SeismicInversion, phase_velocities

if TYPE_CHECKING:
    from flow_models.model import FlowModel

TOLERATED = 0.01  # of models without a fundamental mode; the references draw those again too
_DEPTHS = np.linspace(0, 60, 241)  # km, of the picture


class ExactWaves(SeismicInversion):
    """Phase velocities without noise."""

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """Phase velocities ``(n, 16)``, km/s, of models ``(n, 9)``; the generator is left alone."""
        return phase_velocities(x)


class LayeredEarth(InverseProblem):
    """Trained on layered Earths and the waves over them, the model gives all Earths that noisy waves allow.

    With ``partition.conditioning: parts``, the noise ε of the data is an input of the network beside x,
    (x, ε) ↔ (y, z), so that y is a function of the data side (Zhang & Curtis 2021). With ``context``, f(x; y) ↔ z,
    the noise is in y alone.
    """

    name = "seismic_inversion"
    title = "Surface-wave dispersion"
    unit = "km/s"

    def simulator(self, settings: Settings) -> ExactWaves:
        """Layers, and phase velocities without noise."""
        del settings
        return ExactWaves()

    def source(self, settings: Settings) -> Measured:
        """Layers, and phase velocities with their noise beside them."""
        return Measured(self.simulator(settings), NOISE, tolerated_failures=TOLERATED)

    def fresh(self, settings: Settings, train: Rows, *, stream: int) -> Rows:
        """The same layers with fresh noise: to simulate others would take longer than to learn from them."""
        return self.source(settings).measured_again(train, seed=settings.seed, stream=stream)

    def forward(self, x: Array) -> Array:
        """Phase velocities without noise."""
        return phase_velocities(x)

    def findings(self, settings: Settings, model: FlowModel, posteriors: Posteriors) -> Findings:
        """The agreement with emcee."""
        return reference_posteriors.findings(
            settings, model, posteriors, name="seismic", chains="emcee", picture=self.picture
        )

    def picture(self, models: Mapping[str, Array], truth: Array, waves: Array) -> Picture:
        """Earths ``(draws, 9)`` by set, and the waves over them, beside the truth and the data."""
        earth = Fan(
            places=_DEPTHS,
            curves={name: velocities_at(each, _DEPTHS) for name, each in models.items()},
            truth=velocities_at(truth[None], _DEPTHS)[0],
            x="depth (km)",
            y="shear velocity (km/s)",
            title="Earth",
            downward=True,
        )
        fit = Fan(
            places=PERIODS,
            curves={name: _finite(self.forward(each)) for name, each in models.items()},
            truth=waves,
            x="period (s)",
            y="phase velocity (km/s)",
            title="Data",
            observed=True,
        )
        return Picture(
            fans([earth, fit]),
            "Layers and their waves",
            f"Shear velocities that a dispersion curve allows at each depth, by {' and by '.join(models)}, and the "
            f"waves that they cause; the data have noise of {NOISE} km/s.",
            "Two panels: shear velocity over depth with the posterior's fan and the truth; phase velocities.",
        )


APPLICATION = LayeredEarth()


def velocities_at(models: Array, depths: Array) -> Array:
    """Shear velocity ``(n, k)``, km/s, of models ``(n, 9)`` at depths ``(k,)``, km."""
    bottoms = np.cumsum(models[:, LAYERS:], axis=1)
    layer = (depths >= bottoms[..., None]).sum(axis=1)
    return np.take_along_axis(models[:, :LAYERS], layer, axis=1)


def _finite(curves: Array) -> Array:
    return curves[np.isfinite(curves).all(axis=1)]
