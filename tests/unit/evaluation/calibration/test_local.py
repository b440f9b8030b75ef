import numpy as np
import pytest

from flow_models.evaluation import calibration
from tests.unit.evaluation.calibration.conjugate import WRONG, chance, simulate

QUICK = {"trials": 9, "evaluations": 200, "hidden": (10,)}


def test_the_latents_of_a_right_posterior_are_rejected_at_the_level_of_the_test() -> None:
    rejected = 0
    for seed in range(20):
        right = simulate(60, 1, 1, seed=seed)
        test = calibration.local_c2st(
            right.latents, right.observations, [[0.0]], seed=seed, trials=3, evaluations=50, hidden=(4,)
        )
        rejected += int(test.p_value[0] <= 0.25)
    assert chance(rejected, 20, 0.25)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_posterior_is_rejected_at_every_observation(wrong: str) -> None:
    posterior = simulate(500, 1, 1, seed=0, **WRONG[wrong])
    test = calibration.local_c2st(posterior.latents, posterior.observations, [[-1.0], [1.0]], seed=0, **QUICK)
    assert test.p_value.tolist() == [0.1, 0.1]
    assert (test.statistic > test.null.max(axis=0)).all()


def test_a_posterior_that_is_wrong_in_one_place_is_worst_there() -> None:
    right = simulate(1000, 1, 1, seed=0)
    latents = np.where(right.observations > 0, 2.5 * right.latents, right.latents)
    test = calibration.local_c2st(latents, right.observations, [[-1.5], [1.5]], seed=0, **QUICK)
    assert test.statistic[1] > 4 * test.statistic[0]
    assert test.p_value[1] == 0.1


def test_a_test_without_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="0 trials"):
        calibration.local_c2st(np.zeros((20, 1)), np.zeros((20, 1)), [[0.0]], seed=0, trials=0)


def test_a_posterior_that_is_the_prior_is_rejected() -> None:
    right = simulate(500, 1, 1, seed=0)
    # The flow of the prior N(0, I) encodes the truth as itself: normal, but not given the observation.
    test = calibration.local_c2st(right.truth, right.observations, [[-1.5], [1.5]], seed=0, **QUICK)
    assert test.p_value.tolist() == [0.1, 0.1]


@pytest.mark.parametrize(
    ("latents", "conditions", "observations", "complaint"),
    [
        (np.zeros((20, 1)), np.zeros((19, 1)), [[0.0]], "do not belong together"),
        (np.zeros((20, 1)), np.zeros((20, 2)), [[0.0]], "do not belong together"),
        (np.zeros((0, 1)), np.zeros((0, 1)), [[0.0]], "latents has shape"),
        (np.zeros(20), np.zeros((20, 1)), [[0.0]], "latents has shape"),
        (np.zeros((20, 1)), np.zeros((20, 1)), [[np.nan]], "observations has .* not finite in row 0"),
    ],
)
def test_what_are_no_pairs_is_refused(
    latents: np.ndarray, conditions: np.ndarray, observations: list[list[float]], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        calibration.local_c2st(latents, conditions, observations, seed=0)
