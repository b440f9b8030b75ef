"""How deep is a basin, by the gravity along a line over it?"""

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
from flow_models.report.page import Headline, Picture
from flow_models.settings import Settings
from flow_models.simulators.base import Array
from flow_models.simulators.gravity import NARROW, STATIONS, GravityInversion, prism_places, station_places

if TYPE_CHECKING:
    from flow_models.model import FlowModel

_RESIMULATED = 50  # posteriors


class BasinDepths(InverseProblem):
    """Trained on basins and their gravity, the model gives all basins that a line of gravity allows.

    The problem is exact and ill-posed: the references take the likelihood N(y; f(x), 0.1² mGal²) for the exact
    gravity. The model is trained on gravity with noise N(0, 0.1² mGal²), for which that is the posterior.
    """

    name = "gravity_inversion"
    title = "Gravity inversion"
    unit = "mGal"

    def simulator(self, settings: Settings) -> GravityInversion:
        """Basins and their exact gravity."""
        del settings
        return GravityInversion()

    def source(self, settings: Settings) -> Measured:
        """Basins, and gravity with the noise of the narrow likelihood."""
        return Measured(self.simulator(settings), NARROW)

    def fresh(self, settings: Settings, train: Rows, *, stream: int) -> Rows:
        """The same basins with fresh noise."""
        return self.source(settings).measured_again(train, seed=settings.seed, stream=stream)

    def forward(self, x: Array) -> Array:
        """Exact gravity."""
        return GravityInversion().simulate(x, np.random.default_rng(0))

    def findings(self, settings: Settings, model: FlowModel, posteriors: Posteriors) -> Findings:
        """The misfit of a station, and the agreement with NUTS."""
        few = slice(0, _RESIMULATED)
        error = self.resimulation(posteriors.x[few], posteriors.y[few], truth=posteriors.truth[few])
        misfit = {name: float(np.sqrt(error[name] / STATIONS)) for name in ("mean", "truth")}
        found = reference_posteriors.findings(
            settings, model, posteriors, name="gravity", chains="NUTS", picture=self.picture
        )
        return Findings(
            metrics={"station_misfit": misfit, **found.metrics},
            headlines=[
                *found.headlines,
                Headline(
                    "Err_resim",
                    f"{misfit['mean']:.3f} mGal",
                    f"root mean square of a station; the truth's is {misfit['truth']:.3f}",
                ),
            ],
            sections=found.sections,
        )

    def picture(self, depths: Mapping[str, Array], truth: Array, gravity: Array) -> Picture:
        """Basins ``(draws, 40)`` by set, and the gravity that they cause, beside the truth and the data."""
        profile = Fan(
            places=prism_places(),
            curves=depths,
            truth=truth,
            x="place along the line (km)",
            y="depth (km)",
            title="Basin",
            flipped=True,
        )
        fit = Fan(
            places=station_places(),
            curves={name: self.forward(each) for name, each in depths.items()},
            truth=gravity,
            x="place along the line (km)",
            y="gravity (mGal)",
            title="Data",
            observed=True,
        )
        return Picture(
            fans([profile, fit]),
            "A basin and its gravity",
            f"Depths that a basin's gravity allows, by {' and by '.join(depths)}, and the gravity that they cause. All "
            f"fit the data to {NARROW} mGal, so the fan of the data is a line.",
            "Two panels: depth along the line with the posterior's fan and the truth; gravity with the data.",
        )


APPLICATION = BasinDepths()
