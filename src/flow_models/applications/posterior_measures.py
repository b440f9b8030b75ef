"""Is a trained model's posterior right? Every test of ``evaluation.calibration``, on one set of simulations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow_models.applications.posterior import Posteriors, latents_of_truths
from flow_models.data.tables import Rows
from flow_models.evaluation import calibration
from flow_models.saved_vectors import column_name

if TYPE_CHECKING:
    from flow_models.model import FlowModel

LEVELS = np.linspace(0.05, 0.95, 19)
CONFIDENCE = 0.95  # of every band
_REFERENCES = 3  # a stream of random numbers that no simulations come from
# Local C2ST trains a classifier a trial; its default would be hundreds of units wide for gravity.
_LOCAL_OBSERVATIONS, _LOCAL_TRIALS, _LOCAL_HIDDEN = 20, 19, (32, 32)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the tests found over n simulations, of p parameters.

    Attributes:
        sbc: each parameter's ranks against the simultaneous 95 % band.
        sbc_jointly: the same with the band that all parameters stay in with 95 %.
        hpd: level of the highest-density region that just holds the truth, ``(n,)``.
        tarp: share of samples nearer to a reference point than the truth, ``(n,)``.
        central: coverage of the central intervals of ``LEVELS``, ``(19, p)``.
        contraction: ``(n, p)``.
        z_score: ``(n, p)``.
        local: local C2ST at some observations; None if it was left out.
    """

    sbc: calibration.BandCheck
    sbc_jointly: calibration.BandCheck
    hpd: NDArray[np.float64]
    tarp: NDArray[np.float64]
    central: NDArray[np.float64]
    contraction: NDArray[np.float64]
    z_score: NDArray[np.float64]
    local: calibration.LocalC2ST | None


def calibrate(
    posteriors: Posteriors, model: FlowModel | None, rows: Rows, *, local_pairs: int, seed: int
) -> Calibration:
    """All tests.

    Args:
        posteriors: samples at the first of the rows.
        model: whose they are; only local C2ST asks for it.
        rows: from the prior, taking no part in training.
        local_pairs: from how many of the rows local C2ST learns; 0 leaves it out. It needs many more than there are
            dimensions, of x and y together, to see anything.
        seed: of lots, references and classifiers.
    """
    samples, truth = posteriors.x, posteriors.truth
    ranks, draws, width = calibration.sbc_ranks(samples, truth, seed=seed), samples.shape[1], truth.shape[1]
    return Calibration(
        sbc=calibration.ranks_inside_band(ranks, draws, level=CONFIDENCE),
        sbc_jointly=calibration.ranks_inside_band(ranks, draws, level=1 - (1 - CONFIDENCE) / width),
        hpd=calibration.hpd_levels(posteriors.log_prob_truth, posteriors.log_prob, seed=seed),
        tarp=calibration.tarp_fractions(samples, truth, references=_references(posteriors, seed), seed=seed),
        central=calibration.central_interval_coverage(samples, truth, LEVELS),
        contraction=calibration.contraction(samples, rows.x.std(axis=0, dtype=np.float64)),
        z_score=calibration.z_score(samples, truth),
        local=_local(model, rows, pairs=local_pairs, seed=seed) if local_pairs and model is not None else None,
    )


def measures(found: Calibration, names: Sequence[str]) -> dict[str, Any]:
    """As ``metrics.json`` has them; ``names`` are those of the parameters."""
    columns = [column_name(name) for name in names]

    def by_parameter(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(columns, map(float, values), strict=True))

    local = {} if found.local is None else {"local_c2st": _of_local(found.local)}
    return {
        "coverage_error": calibration.coverage_error(found.central, LEVELS),
        "central_90_coverage": float(found.central[np.argmin(abs(LEVELS - 0.9))].mean()),
        "hpd_coverage_error": calibration.coverage_error(calibration.coverage(found.hpd, LEVELS), LEVELS),
        "hpd_p_value": calibration.uniformity_p_value(found.hpd),
        "tarp_p_value": calibration.uniformity_p_value(found.tarp),
        "sbc": {
            "parameters_outside": int((~found.sbc.inside).sum()),
            "parameters_outside_jointly": int((~found.sbc_jointly.inside).sum()),
            "excess": by_parameter(found.sbc.excess),
        },
        **local,
        "contraction": by_parameter(found.contraction.mean(axis=0)),
        "z_score_mean": by_parameter(found.z_score.mean(axis=0)),
        "z_score_deviation": by_parameter(found.z_score.std(axis=0)),
    }


def _local(model: FlowModel, rows: Rows, *, pairs: int, seed: int) -> calibration.LocalC2ST:
    some = Rows(x=rows.x[:pairs], noise=rows.noise[:pairs], y=rows.y[:pairs])
    return calibration.local_c2st(
        latents_of_truths(model, some),
        some.y,
        rows.y[:_LOCAL_OBSERVATIONS],
        seed=seed,
        trials=_LOCAL_TRIALS,
        hidden=_LOCAL_HIDDEN,
    )


def _of_local(found: calibration.LocalC2ST) -> dict[str, float]:
    return {
        "rejected": float((found.p_value <= 1 - CONFIDENCE + 1e-9).mean()),
        "statistic": float(found.statistic.mean()),
        "null": float(found.null.mean()),
    }


def _references(posteriors: Posteriors, seed: int) -> NDArray[np.float64]:
    """Points that follow the observation and know nothing of the truth: a random linear map of it.

    With references that ignore the observation, TARP cannot reject a posterior that is the prior.
    """
    y, truth = posteriors.y, posteriors.truth
    deviation = y.std(axis=0)
    units = (y - y.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_REFERENCES,)))
    directions = rng.standard_normal((y.shape[1], truth.shape[1])) / np.sqrt(y.shape[1])
    return truth.mean(axis=0) + truth.std(axis=0) * (units @ directions)
