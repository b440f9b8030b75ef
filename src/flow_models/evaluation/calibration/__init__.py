"""Is a posterior right? Over many simulations whose truth is known, and at one observation.

A posterior is calibrated if the truth looks like one more of its samples. Each test here asks that
in another way, and each is exact: for a calibrated posterior and independent samples it rejects at
its level, at any number of simulations and samples. Passing one is not being right: a posterior that
is the prior passes all of them but local C2ST and, with references that follow the observation, TARP.
Hence `contraction`.
"""

from flow_models.evaluation.calibration.coverage import (
    central_interval_coverage,
    coverage,
    coverage_error,
    hpd_levels,
    tarp_fractions,
    uniformity_p_value,
)
from flow_models.evaluation.calibration.informativeness import contraction, z_score
from flow_models.evaluation.calibration.local import LocalC2ST, local_c2st
from flow_models.evaluation.calibration.ranks import (
    Band,
    BandCheck,
    ranks_inside_band,
    sbc_ranks,
    simultaneous_band,
)

__all__ = [
    "Band",
    "BandCheck",
    "LocalC2ST",
    "central_interval_coverage",
    "contraction",
    "coverage",
    "coverage_error",
    "hpd_levels",
    "local_c2st",
    "ranks_inside_band",
    "sbc_ranks",
    "simultaneous_band",
    "tarp_fractions",
    "uniformity_p_value",
    "z_score",
]
