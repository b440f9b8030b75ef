"""The learning rate over a run."""

from __future__ import annotations

import math

from flow_models.settings import TrainSettings

FINAL = 0.01  # of the peak rate, where the exponential decay ends


def learning_rate(settings: TrainSettings, *, step: int, fraction: float) -> float:
    """Linear warm-up by the step, decay by the fraction of the run that is done.

    A cosine decays to zero; an exponential, by the same factor in every stretch of the run, to a hundredth of the
    peak rate.

    Args:
        settings: the peak rate, the steps of warm-up and the kind of decay.
        step: that is about to be taken, from 0.
        fraction: of the run's epochs or minutes, whichever is further, in [0, 1].

    References:
        Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", eq. 5.
    """
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    done = min(fraction, 1.0)
    decay = FINAL**done if settings.decay == "exponential" else 0.5 * (1 + math.cos(math.pi * done))
    return settings.learning_rate * warmup * decay
