from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from flow_models.evaluation.conformal import p_values
from flow_models.evaluation.drift import data_drift, decay, holm

REPETITIONS = 200
# So many false alarms of 200 at a level of 0.05, and fewer, happen to a test that holds it 999 times of 1000.
MOST_ALARMS = int(binom.ppf(0.999, REPETITIONS, 0.05))


def images(random: np.random.Generator, number: int, *, brighter: float = 0.0) -> dict[str, np.ndarray]:
    """Statistics as a manifest has them: dependent on each other, some with ties, one constant."""
    mean = random.normal(100 + brighter, 20, number)
    return {
        "mean": mean,
        "contrast": 0.3 * mean + random.normal(40, 8, number),
        "bytes": np.round(20 * mean + random.normal(5000, 300, number)),
        "width": random.choice([64.0, 128.0, 256.0], number),
        "height": np.full(number, 64.0),
    }


@pytest.mark.parametrize(("reference", "recent"), [(400, 60), (1000, 1000)])
def test_data_that_do_not_drift_raise_an_alarm_no_oftener_than_the_level(reference: int, recent: int) -> None:
    random = np.random.default_rng(0)
    alarms = sum(
        any(
            shift.drifted
            for shift in data_drift(images(random, reference), images(random, recent), level=0.05).values()
        )
        for _ in range(REPETITIONS)
    )
    assert alarms <= MOST_ALARMS


def test_the_level_is_used_and_not_only_held() -> None:
    random = np.random.default_rng(1)
    one = lambda number: {"mean": random.normal(size=number)}  # noqa: E731
    alarms = sum(data_drift(one(500), one(500), level=0.05)["mean"].drifted for _ in range(REPETITIONS))
    assert alarms >= int(binom.ppf(0.001, REPETITIONS, 0.04))


def test_a_shift_is_caught_and_named_first_with_its_size() -> None:
    random = np.random.default_rng(2)
    shifts = data_drift(images(random, 1000), images(random, 200, brighter=15), level=0.01)
    assert {name for name, shift in shifts.items() if shift.drifted} == {"mean", "contrast", "bytes"}
    first = next(iter(shifts))
    assert first == "mean"
    assert shifts[first].difference == pytest.approx(15 / 20, abs=0.15)
    assert not shifts["height"].drifted


def test_what_is_significant_but_small_is_no_drift() -> None:
    random = np.random.default_rng(3)
    sides = images(random, 9000), images(random, 9000, brighter=2)
    assert data_drift(*sides, level=0.01)["mean"].drifted
    assert not any(shift.drifted for shift in data_drift(*sides, level=0.01, least_distance=0.1).values())


def test_a_statistic_without_values_on_a_side_is_left_out_and_missing_values_are_passed_over() -> None:
    reference = {"mean": [1.0, 2.0, np.nan], "sharpness": [1.0, 2.0]}
    shifts = data_drift(reference, {"mean": [1.0, 2.0], "sharpness": [np.nan]}, level=0.05)
    assert list(shifts) == ["mean"]
    assert shifts["mean"].distance == 0


def test_holm_multiplies_by_the_number_of_hypotheses_that_are_left() -> None:
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("calibration", [30, 300])
def test_a_calibration_set_that_was_lucky_is_not_taken_for_decay(calibration: int) -> None:
    random = np.random.default_rng(4)

    def decayed() -> bool:
        p = p_values(random.normal(size=calibration), random.normal(size=500))
        return decay(p, promised=0.1, calibration_size=calibration, level=0.05).decayed

    assert sum(decayed() for _ in range(REPETITIONS)) <= MOST_ALARMS


def test_more_alarms_than_promised_are_decay() -> None:
    random = np.random.default_rng(5)
    found = decay(
        p_values(random.normal(size=500), random.normal(0.8, 1, 200)), promised=0.05, calibration_size=500, level=0.01
    )
    assert found.decayed
    assert found.alarms > 2 * found.promised * found.images


def test_a_calibration_set_too_small_for_an_alarm_shows_no_decay() -> None:
    found = decay([0.1, 0.1], promised=0.05, calibration_size=9, level=0.01)
    assert (found.alarms, found.p_value, found.decayed) == (0, 1.0, False)


@pytest.mark.parametrize("level", [0, 1, -0.1])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        data_drift({"mean": [1.0]}, {"mean": [1.0]}, level=level)
    with pytest.raises(ValueError, match="level"):
        decay([0.5], promised=0.1, calibration_size=10, level=level)


def test_other_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="not the same"):
        data_drift({"mean": [1.0]}, {"std": [1.0]}, level=0.1)
