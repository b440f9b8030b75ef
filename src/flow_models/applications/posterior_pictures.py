"""The pictures in the reports on posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_models.applications.posterior import Posteriors
from flow_models.applications.posterior_measures import LEVELS, Calibration
from flow_models.evaluation.calibration import coverage, simultaneous_band
from flow_models.report import posteriors as figures
from flow_models.report.page import Picture

SHOWN = 8  # parameters; of more, so many are shown, evenly spread
_RECOVERED = 100


def ranks(found: Calibration, names: Sequence[str]) -> Picture:
    """Simulation-based calibration."""
    band = found.sbc.band
    return Picture(
        figures.rank_differences(band.points, found.sbc.ecdf, lower=band.lower, upper=band.upper, names=names),
        "Simulation-based calibration",
        "Ranks of true parameters among posterior samples. A calibrated posterior's line stays in the band "
        "everywhere with 95 %; below it on the left and above it on the right means too wide, the reverse too narrow.",
        "ECDF of ranks less the diagonal, one line a parameter, with a simultaneous band.",
    )


def coverages(found: Calibration) -> Picture:
    """Expected coverage of three kinds of region."""
    curves = {
        "Highest-density regions": _with_band(found.hpd),
        "Central intervals (mean)": figures.Coverage(LEVELS, found.central.mean(axis=1)),
        "TARP": _with_band(found.tarp),
    }
    return Picture(
        figures.coverage_curves(curves),
        "Coverage",
        "How often regions of the posterior hold the truth that they should. Below the diagonal: overconfident. "
        "Bands hold all of a calibrated posterior's curve with 95 %.",
        "Coverage against nominal level for highest-density regions, central intervals and TARP.",
    )


def recovery(posteriors: Posteriors, names: Sequence[str]) -> Picture:
    """Posterior medians and 90 % intervals against the truth."""
    which, few = shown(names), slice(0, _RECOVERED)
    low, middle, high = np.quantile(posteriors.x[few][..., which], [0.05, 0.5, 0.95], axis=1)
    return Picture(
        figures.recovery(
            posteriors.truth[few][:, which], middle=middle, low=low, high=high, names=[names[each] for each in which]
        ),
        "Recovery of the parameters",
        "Medians and central 90 % intervals of posteriors against the parameters that caused their observations. "
        "Where the observation says little, intervals are as wide as the prior.",
        "One panel a parameter: posterior median and interval over true value.",
    )


def marginals(
    samples: Mapping[str, NDArray[np.floating[Any]]],
    names: Sequence[str],
    *,
    truth: NDArray[np.float64] | None,
    where: str,
) -> Picture:
    """Marginals of one posterior, beside others such as a reference or the prior; ``where`` names the observation."""
    which = shown(names)
    return Picture(
        figures.marginals(
            {name: values[:, which] for name, values in samples.items()},
            names=[names[each] for each in which],
            truth=None if truth is None else truth[which],
        ),
        f"Posterior of {where}",
        "Marginal densities.",
        "One panel a parameter: histograms of samples.",
    )


def shown(names: Sequence[str]) -> NDArray[np.int64]:
    """Which parameters a picture has room for."""
    return np.unique(np.linspace(0, len(names) - 1, min(len(names), SHOWN)).round().astype(np.int64))


def _with_band(levels: NDArray[np.float64]) -> figures.Coverage:
    band = simultaneous_band(len(levels))
    return figures.Coverage(band.points, coverage(levels, band.points), band.lower, band.upper)
