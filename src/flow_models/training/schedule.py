"""The learning rate over a run."""

from __future__ import annotations

import math

from flow_models.settings import TrainSettings


def learning_rate(settings: TrainSettings, *, step: int, fraction: float) -> float:
    """Linear warm-up by the step, cosine decay to zero by the fraction of the run that is done.

    Args:
        settings: the peak rate and the steps of warm-up.
        step: that is about to be taken, from 0.
        fraction: of the run's epochs or minutes, whichever is further, in [0, 1].

    References:
        Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", eq. 5.
    """
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    return settings.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
