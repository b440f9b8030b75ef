"""Anyone's simulator, whatever it does."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import flow_models as fm
from flow_models.estimators.simulations import simulate_pairs
from tests.unit.estimators.tiny import TINY


def draw_prior(number, rng):
    return rng.uniform(-1, 1, (number, 2))


def simulate(theta, rng):
    return theta + 0.3 * rng.normal(size=theta.shape)


def simulate_badly(theta, rng):
    if (theta[:, 0] > 0.9).any():
        raise ValueError("the simulator cannot do that")
    return np.where(theta[:, :1] < -0.8, np.nan, simulate(theta, rng))


def test_errors_and_values_that_are_not_finite_are_counted_apart_left_out_and_told_of():
    theta = draw_prior(300, np.random.default_rng(1))
    lost = r"\d+ of 300 simulations are left out: \d+ failed \(ValueError: the simulator cannot do that\) and \d+ gave"
    with pytest.warns(UserWarning, match=lost):
        posterior = fm.FlowPosterior(**TINY).fit_simulator(simulate_badly, lambda *_: theta, 300)
    assert posterior.failed_simulations_ == (theta[:, 0] > 0.9).sum()
    assert posterior.nonfinite_simulations_ == (theta[:, 0] < -0.8).sum()


def test_a_seed_gives_the_same_simulations_in_any_number_of_processes():
    one, two = (simulate_pairs(simulate_badly, draw_prior, 600, seed=3, n_jobs=jobs) for jobs in (None, 2))
    np.testing.assert_array_equal(one.observations, two.observations)
    assert (one.failed, one.nonfinite) == (two.failed, two.nonfinite)


@pytest.mark.parametrize("number", [40, 1000])
def test_what_fails_once_is_tried_again(number):
    failures = []

    def fail_at_first(theta, rng):
        if not failures:
            failures.append(theta)
            raise OSError("no licence is free")
        return simulate(theta, rng)

    simulated = simulate_pairs(fail_at_first, draw_prior, number, seed=0)
    assert (len(failures), len(simulated.parameters), simulated.failed) == (1, number, 0)


def test_a_process_that_is_killed_takes_no_other_simulation_with_it():
    def kill(theta, rng):
        if (abs(theta[:, 0] - 0.5) < 1e-9).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return simulate(theta, rng)

    def prior(number, rng):
        theta = draw_prior(number, rng)
        theta[7, 0] = 0.5
        return theta

    simulated = simulate_pairs(kill, prior, 30, seed=0, n_jobs=2)
    assert (len(simulated.parameters), simulated.failed) == (29, 1)
    assert "killed" in simulated.error


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        (
            lambda theta, _: np.full_like(theta, np.nan),
            "20 of 20 simulations are left out: 20 gave values that are not",
        ),
        (lambda *_: 1 / 0, r"left out: 20 failed \(ZeroDivisionError: division by zero\); fewer than 2 are left"),
        (lambda *_: np.zeros((3, 1)), "20 failed .*simulate gave 3 rows for 1"),
    ],
)
def test_a_simulator_that_never_works_is_an_error(simulator, message):
    with pytest.raises(ValueError, match=message):
        simulate_pairs(simulator, draw_prior, 20, seed=0)


def test_no_simulations_at_all_are_refused():
    with pytest.raises(ValueError, match="num_simulations == 0, must be >= 2"):
        fm.FlowPosterior(**TINY).fit_simulator(simulate, draw_prior, 0)
