"""Is a fitted posterior right? The tests of ``evaluation.calibration`` on simulations whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flow_models.errors import extra_named
from flow_models.estimators.simulations import Simulated

if TYPE_CHECKING:
    from flow_models.estimators.posterior import FlowPosterior


def calibration_of(posterior: FlowPosterior, simulated: Simulated, *, draws: int, seed: int) -> dict[str, Any]:
    """What the tests find.

    Args:
        posterior: fitted.
        simulated: pairs that took no part in its training.
        draws: posterior samples at each.
        seed: of samples and tests.

    Raises:
        FlowModelsError: if the packages of the pipeline are not installed.
    """
    with extra_named("FlowPosterior.calibrate"):
        from flow_models.applications.posterior import Posteriors
        from flow_models.applications.posterior_measures import calibrate, measures
        from flow_models.data.tables import Rows
    y, truth = simulated.observations, simulated.parameters
    samples = posterior.sample(y, draws, random_state=seed)
    flat = samples.reshape(-1, samples.shape[-1])
    flat_y = y.reshape(len(y), -1)
    posteriors = Posteriors(
        x=samples,
        truth=truth,
        y=flat_y,
        log_prob=posterior.log_prob(np.repeat(y, draws, axis=0), flat).reshape(len(y), draws),
        log_prob_truth=posterior.log_prob(y, truth),
    )
    rows = Rows(x=truth.astype(np.float32), noise=np.empty((len(y), 0), np.float32), y=flat_y.astype(np.float32))
    found = calibrate(posteriors, None, rows, local_pairs=0, seed=seed)
    return measures(found, posterior.parameter_names_)
