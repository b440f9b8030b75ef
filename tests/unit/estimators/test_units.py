"""Columns of any kind become columns that a flow can take, and come back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from flow_models.estimators.maps import ASINH, BETWEEN, CLIPPED, PLAIN
from flow_models.estimators.units import Units

SUPPORTS = {
    "free": (lambda g: 5e6 + g.normal(size=400), (None, None)),
    "positive": (lambda g: g.gamma(2.0, 3.0, 400), (0.0, None)),
    "negative": (lambda g: -g.gamma(2.0, 3.0, 400), (None, 0.0)),
    "bounded": (lambda g: 10 + 2 * g.beta(0.5, 0.5, 400), (10.0, 12.0)),
    "heavy-tailed": (lambda g: g.standard_cauchy(400), (None, None)),
}


@pytest.fixture(params=[*SUPPORTS, "told"])
def column(request):
    """Rows, their support and units; "told" between its bounds by something close to it."""
    rng = np.random.default_rng(0)
    if request.param == "told":
        x = rng.uniform(10, 12, (400, 1))
        units = Units.of(x, (10, 12), seed=0, given=rng.normal(x, 0.02))
        assert units.kind.tolist() == [CLIPPED]
        return x, (10, 12), units
    draw, support = SUPPORTS[request.param]
    x = draw(rng)[:, None]
    return x, support, Units.of(x, support, seed=0)


def test_a_column_comes_back(column):
    x, _, units = column
    v, _ = units.to_flow(x)
    assert abs(v.mean()) < 1e-3
    assert v.std() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(units.from_flow(v), x, rtol=1e-5, atol=1e-5 * x.std())


def test_the_log_slope_is_that_of_the_map(column):
    x, support, units = column
    step = 1e-4 * np.minimum(1, abs(x - np.median(x))) + 1e-7
    rise = (units.unbounded(x + step)[0] - units.unbounded(x - step)[0]) / (2 * step) / units.deviation
    inside = (
        np.ptp(np.clip([x - step, x + step], *(-np.inf if b is None else b for b in support[:1]), np.inf), axis=0) > 0
    )
    close = np.isclose(np.log(rise[:, 0]), units.to_flow(x)[1], atol=1e-2)
    assert close[inside[:, 0]].mean() > 0.97  # next to a bound the difference is no derivative


def test_samples_never_lie_outside_and_rows_outside_have_no_density(column):
    _, (low, high), units = column
    far = units.from_flow(np.array([[-60.0], [60.0]]))
    assert np.isfinite(far).all()
    for bound, sign in ((low, 1), (high, -1)):
        if bound is not None:
            assert (sign * (far - bound) > 0).all()
            assert units.to_flow(np.array([[bound - sign]]))[1] == -np.inf
            assert np.isfinite(units.to_flow(np.array([[bound]]))[1])


def test_a_uniform_variable_between_bounds_becomes_normal():
    x = np.linspace(-1, 1, 2001)[1:-1, None]
    v, _ = Units.of(x, (-1, 1), seed=0).to_flow(x)
    np.testing.assert_allclose(v[:, 0], norm.ppf((x[:, 0] + 1) / 2), atol=0.02)


def test_a_column_between_bounds_keeps_its_scale_inside_if_so_what_is_given_tells_it_on_a_straight_line():
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(-1, 1, (2000, 1)), rng.normal(size=(2000, 1))
    told = Units.of(x, (-1, 1), seed=0, given=x + 0.05 * noise)
    assert told.kind.tolist() == [CLIPPED]
    inside = np.linspace(-0.7, 0.7, 50)[:, None]
    slopes = np.diff(told.to_flow(inside)[0][:, 0]) / np.diff(inside[:, 0])
    assert np.ptp(slopes) < 0.1 * slopes.mean()
    for given in (None, noise, norm.ppf((x + 1) / 2) + 0.05 * noise):
        assert Units.of(x, (-1, 1), seed=0, given=given).kind.tolist() == [BETWEEN]


def test_heavy_tails_are_drawn_in_and_light_ones_are_left_alone():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_t(2, 2000), rng.normal(size=2000), rng.uniform(size=2000)])
    assert Units.of(x, None, seed=0).kind.tolist() == [ASINH, PLAIN, PLAIN]


def test_ties_get_noise_as_wide_as_their_step_and_samples_lie_on_their_lattice():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 2, 300), 0.5 * rng.integers(-4, 5, 300), rng.normal(size=300)])
    units = Units.of(x, None, seed=0)
    assert units.width.tolist() == [1, 0.5, 0]
    assert len(np.unique(units.noisy(x, rng)[:, 0])) == 300
    drawn = units.from_flow(rng.normal(size=(50, 3)))
    assert np.allclose(drawn[:, 0] % 1, 0)
    assert np.allclose(drawn[:, 1] % 0.5, 0)


def test_a_constant_column_is_left_out_and_another_value_in_it_has_no_density():
    x = np.column_stack([np.full(50, 3.0), np.random.default_rng(0).normal(size=50)])
    units = Units.of(x, None, seed=0)
    v, log_slope = units.to_flow(np.array([[3.0, 0.1], [3.1, 0.1]]))
    assert v.shape == (2, 1)
    assert np.isfinite(log_slope).tolist() == [True, False]
    assert units.from_flow(v)[:, 0].tolist() == [3, 3]


def test_units_survive_as_json():
    x = np.column_stack([np.random.default_rng(0).gamma(1, size=50), np.ones(50)])
    units = Units.of(x, [(0, None), (None, None)], seed=0)
    again = Units.from_json(json.loads(json.dumps(units.to_json())))
    for one, two in zip(units.to_flow(x), again.to_flow(x), strict=True):
        np.testing.assert_array_equal(one, two)


def test_bounds_are_seen_only_where_values_crowd_at_them():
    rng = np.random.default_rng(0)
    none, positive, both = (None, None), (0, None), (0, 1)
    columns = [
        (rng.exponential(3.0, 500), positive),
        (abs(rng.normal(size=500)), positive),
        (rng.uniform(size=500), both),
        (rng.beta(0.5, 0.5, 500), both),
        (rng.beta(5, 1, 500), (None, 1)),
        (rng.normal(5, 1, 500), none),
        (abs(rng.normal(2.5, 1, 500)), none),  # happens to be positive
        (rng.beta(5, 5, 500), none),
        (rng.gamma(3, 1, 500), none),
        (rng.normal(size=500), none),
        (np.where(rng.uniform(size=500) < 0.5, 0, rng.exponential(size=500)), none),  # an atom, which is its own end
    ]
    x, bounds = np.column_stack([each for each, _ in columns]), [bound for _, bound in columns]
    units = Units.of(x, "auto", seed=0)
    seen = [tuple(None if np.isnan(b) else b for b in pair) for pair in zip(units.low, units.high, strict=True)]
    assert seen == bounds
    assert np.isnan(Units.of(x[:40], "auto", seed=0).low).all()  # too few rows to tell


@pytest.mark.parametrize(
    ("support", "message"),
    [
        ((1, None), "column 0 holds values from 0"),
        ((2, 1), "no number between 2"),
        ([(0, 1), (0, 1)], "one of each of 1 columns"),
        ("automatic", "or 'auto'; got 'automatic'"),
    ],
)
def test_a_support_that_is_not_that_of_the_data_is_refused(support, message):
    with pytest.raises(ValueError, match=message):
        Units.of(np.linspace(0, 1, 10)[:, None], support, seed=0)
