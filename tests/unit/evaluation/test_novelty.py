import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flow_models.evaluation.novelty import Seen


def test_nothing_that_was_seen_lies_outside() -> None:
    y = np.random.default_rng(0).normal(size=(200, 3)) * [1, 100, 1e-3] + 5
    assert Seen.of(y).distance(y).max() <= 1 + 1e-9


def test_what_lies_off_a_correlation_is_outside_though_each_column_is_usual() -> None:
    a = np.random.default_rng(0).normal(size=(500, 1))
    seen = Seen.of(np.hstack([a, a + 0.01 * np.random.default_rng(1).normal(size=(500, 1))]))
    assert seen.distance([[1.0, -1.0]])[0] > 10
    assert seen.distance([[1.0, 1.0]])[0] < 1


def test_a_column_that_never_varied_tells_when_it_does() -> None:
    y = np.hstack([np.random.default_rng(0).normal(size=(100, 1)), np.full((100, 1), 7.0)])
    seen = Seen.of(y)
    assert seen.distance([[0.0, 7.0]])[0] < 1
    assert seen.distance([[0.0, 8.0]])[0] > 1


@given(st.floats(-5, 5), st.floats(0.01, 100))
def test_units_do_not_matter(shift: float, scale: float) -> None:
    y = np.random.default_rng(0).normal(size=(50, 2))
    far = np.array([[9.0, 1.0]])
    np.testing.assert_allclose(Seen.of(scale * y + shift).distance(scale * far + shift), Seen.of(y).distance(far))


def test_it_survives_json() -> None:
    seen = Seen.of(np.random.default_rng(0).normal(size=(50, 2)))
    again = Seen.from_json(json.loads(json.dumps(seen.to_json())))
    np.testing.assert_array_equal(again.distance([[3.0, 3.0]]), seen.distance([[3.0, 3.0]]))
