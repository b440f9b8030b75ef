from __future__ import annotations

import pytest

from flow_models.settings import TrainSettings
from flow_models.training.schedule import learning_rate

SETTINGS = TrainSettings(learning_rate=0.01, warmup_steps=9)


def test_the_rate_rises_linearly_over_the_warm_up() -> None:
    rates = [learning_rate(SETTINGS, step=step, fraction=0.0) for step in range(12)]
    assert rates[:10] == pytest.approx([0.001 * (step + 1) for step in range(10)])
    assert rates[10] == rates[11] == pytest.approx(0.01)


def test_the_rate_falls_along_a_cosine_to_zero() -> None:
    rates = [learning_rate(SETTINGS, step=100, fraction=fraction) for fraction in (0, 0.5, 1, 1.5)]
    assert rates == pytest.approx([0.01, 0.005, 0, 0])


def test_the_rate_falls_exponentially_to_a_hundredth() -> None:
    settings = SETTINGS.model_copy(update={"decay": "exponential"})
    rates = [learning_rate(settings, step=100, fraction=fraction) for fraction in (0, 0.5, 1, 1.5)]
    assert rates == pytest.approx([0.01, 0.001, 0.0001, 0.0001])
