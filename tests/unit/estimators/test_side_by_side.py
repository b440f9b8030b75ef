"""Flows train side by side, each in a lane, and come out as if one by one."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

import flow_models as fm
from flow_models.estimators import fitting
from flow_models.estimators.side_by_side import Lane, side_by_side
from tests.unit.estimators.tiny import TINY


def test_results_come_in_order_from_lanes_that_work_at_once():
    both = threading.Barrier(2, timeout=10)  # broken if one waits for the other to end

    def work(index: int, lane: Lane) -> tuple[int, int]:
        if index < 2:
            both.wait()
        return index, lane.number

    results = side_by_side(work, 5, lanes=2)
    assert [index for index, _ in results] == [0, 1, 2, 3, 4]
    assert {lane for _, lane in results} == {0, 1}


def test_an_error_ends_what_the_other_lanes_do():
    both, ended = threading.Barrier(2, timeout=10), []

    def work(index: int, lane: Lane) -> None:
        both.wait()
        if index == 0:
            raise ValueError("the first")
        try:
            while True:
                lane.go_on()
        except CancelledError:
            ended.append(index)
            raise

    with pytest.raises(ValueError, match="the first"):
        side_by_side(work, 2, lanes=2)
    assert ended == [1]


def test_an_ensemble_is_the_same_in_any_number_of_lanes(monkeypatch):
    monkeypatch.setattr(fitting, "FEW", 100)
    table = np.random.default_rng(0).normal(size=(200, 2))
    fitted = []
    for lanes in (1, 3):
        monkeypatch.setattr(fitting, "lanes_for", lambda members, lanes=lanes: min(members, lanes))
        fitted.append(fm.FlowDensity(**TINY | {"n_estimators": 3}).fit(table))
    one, three = (each.score_samples(table) for each in fitted)
    np.testing.assert_allclose(one, three, rtol=1e-6)  # threads of a sum may end in another order
