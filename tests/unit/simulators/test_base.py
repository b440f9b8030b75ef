from __future__ import annotations

import numpy as np
import pytest

from flow_models.errors import FlowModelsError
from flow_models.simulators.base import Array, check_simulation, simulate_table


class Square:
    """x² with noise; the root of what is below ``lowest`` is not a number."""

    name = "square"
    parameters = ("side (m)",)
    observations = ("area (m²)",)
    support = ((0.0, 1.0),)

    def __init__(self, lowest: float = 0.0) -> None:
        self.lowest = lowest

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        return rng.random((number, 1))

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        y = x**2 + 0.1 * rng.standard_normal(x.shape)
        return np.where(x < self.lowest, np.nan, y)


def test_a_seed_and_an_epoch_name_the_same_rows_again() -> None:
    table, again = (simulate_table(Square(), 10, seed=3, epoch=1) for _ in range(2))
    np.testing.assert_array_equal(table.x, again.x)
    np.testing.assert_array_equal(table.y, again.y)
    assert table.redrawn == 0


@pytest.mark.parametrize("other", [{"seed": 4, "epoch": 1}, {"seed": 3, "epoch": 2}])
def test_another_seed_or_epoch_gives_fresh_rows(other: dict[str, int]) -> None:
    table, fresh = simulate_table(Square(), 10, seed=3, epoch=1), simulate_table(Square(), 10, **other)
    assert not np.isin(table.x, fresh.x).any()


def test_a_simulator_of_nans_is_refused_with_the_first_row() -> None:
    x = np.array([[0.5], [0.1], [0.2]])
    y = Square(lowest=0.3).simulate(x, np.random.default_rng(0))
    with pytest.raises(FlowModelsError, match=r"square: 2 of 3 .* the first in row 1 \(side \(m\) = 0\.1\)"):
        check_simulation(Square(), x, y)
    with pytest.raises(FlowModelsError, match="tolerate"):
        simulate_table(Square(lowest=0.3), 100, seed=0)


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FlowModelsError, match=r"y has shape \(3, 2\), not \(3, 1\)"):
        check_simulation(Square(), np.zeros((3, 1)), np.zeros((3, 2)))


def test_tolerated_failures_are_drawn_again_and_counted() -> None:
    table = simulate_table(Square(lowest=0.1), 1000, seed=0, tolerated_failures=0.2)
    assert table.x.min() >= 0.1
    assert np.isfinite(table.y).all()
    assert 80 <= table.redrawn <= 150


def test_more_failures_than_tolerated_are_refused() -> None:
    with pytest.raises(FlowModelsError, match="narrow its prior"):
        simulate_table(Square(lowest=0.5), 1000, seed=0, tolerated_failures=0.2)
