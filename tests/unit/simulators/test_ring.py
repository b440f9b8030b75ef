from __future__ import annotations

import numpy as np
import pytest

from flow_models.errors import FlowModelsError
from flow_models.simulators.ring import ALL, CENTRES, SOME, Ring, nearest_mode


def test_the_modes_are_the_papers() -> None:
    assert sorted(map(tuple, np.round(abs(CENTRES), 4))) == [(1, 2.4142)] * 4 + [(2.4142, 1)] * 4
    assert len(np.unique(CENTRES, axis=0)) == 8


@pytest.mark.parametrize("labels", [SOME, ALL])
def test_points_have_the_class_of_their_mode(labels: tuple[int, ...]) -> None:
    x, drawn = Ring(labels=labels).draw(4000, np.random.default_rng(0))
    modes = nearest_mode(x)
    assert (np.asarray(labels)[modes] == drawn).mean() > 0.999
    assert np.bincount(modes).min() > 400
    assert abs((x - CENTRES[modes]).std() - 0.2) < 0.01


def test_bayes_rule_is_certain_at_a_mode_and_torn_between_two() -> None:
    ring = Ring(labels=SOME)
    np.testing.assert_allclose(ring.bayes_probabilities(CENTRES[4:5]), [[0, 1, 0, 0]], atol=1e-6)
    between = CENTRES[5:7].mean(axis=0, keepdims=True)
    np.testing.assert_allclose(ring.bayes_probabilities(between), [[0, 0.5, 0.5, 0]], atol=1e-6)
    np.testing.assert_allclose(ring.bayes_probabilities(np.zeros((1, 2))), [[0.5, 0.25, 0.125, 0.125]], atol=1e-6)


def test_the_density_integrates_to_one() -> None:
    axis = np.linspace(-4, 4, 401)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert abs(np.exp(Ring().log_prob(grid)).sum() * 0.02**2 - 1) < 1e-6


def test_a_class_can_be_drawn_alone() -> None:
    points = Ring(labels=SOME).draw_class(1, 500, np.random.default_rng(0))
    assert set(nearest_mode(points)) == {4, 5}


@pytest.mark.parametrize("labels", [(0, 1), (0, 0, 0, 0, 1, 1, 2, 4)])
def test_labels_with_a_gap_are_refused(labels: tuple[int, ...]) -> None:
    with pytest.raises(FlowModelsError, match="eight classes"):
        Ring(labels=labels)
