"""Tied values, whether all of a column are or only some, have a density that is finite and true."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import gamma

import flow_models as fm
from flow_models.estimators.units import Units
from tests.unit.estimators.tiny import TINY


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def mixed(rng, number, *, zeros=0.4, ones=0.0):
    """Shares of zeros and ones, and between them a beta distribution."""
    lot = rng.uniform(size=number)
    return np.where(lot < zeros, 0.0, np.where(lot > 1 - ones, 1.0, rng.beta(2, 3, number)))


@pytest.mark.parametrize("support", [None, (0, None), (0, 1)])
@pytest.mark.parametrize("ones", [0.0, 0.2])
def test_atoms_come_back_and_the_rest_with_them(rng, support, ones):
    x = mixed(rng, 2000, ones=ones)[:, None]
    units = Units.of(x, support, seed=0)
    units = Units.from_json(json.loads(json.dumps(units.to_json())))
    for v in (units.to_flow(x)[0], units.to_flow(x, rng)[0]):
        back = units.from_flow(v)
        assert ((back == 0) == (x == 0)).all()
        assert ((back == 1) == (x == 1)).all()
        np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-5)
    assert len(np.unique(units.to_flow(x, rng)[0])) > 1990
    far = units.from_flow(np.array([[-50.0], [50.0]]))
    assert far.min() == 0  # an atom at the end: nothing lies beyond
    assert far.max() == 1 or not ones


def test_rows_of_a_column_with_many_zeros_are_as_likely_as_they_are(rng):
    """Of 0 the probability, of other values the density."""
    zero = rng.uniform(size=3000) < 0.4
    x = np.where(zero, 0.0, rng.gamma(2.0, 1.0, 3000))
    true = np.where(zero, np.log(0.4), np.log(0.6) + gamma(2.0).logpdf(np.where(zero, 1.0, x)))
    density = fm.FlowDensity(**TINY | {"layers": 4, "max_iter": 150}).fit(x[:2000, None])
    found = density.score_samples(x[2000:, None])
    assert found.mean() == pytest.approx(true[2000:].mean(), abs=0.15)
    assert found[zero[2000:]] == pytest.approx(np.log(0.4), abs=0.3)
    drawn = density.sample(4000)
    assert (drawn == 0).mean() == pytest.approx(0.4, abs=0.05)
    assert (drawn >= 0).all()


def test_rounded_numbers_and_discrete_ones_have_no_atoms(rng):
    counts, rounded, doubled = rng.poisson(1.0, 400), rng.normal(size=400).round(2), np.tile(rng.normal(size=200), 2)
    inflated = np.where(rng.uniform(size=400) < 0.5, 0, rng.poisson(8.0, 400))
    units = Units.of(np.column_stack([counts, rounded, doubled, inflated, rng.normal(size=400)]), None, seed=0)
    assert not units.atoms.values.size
    assert units.width[[0, 3, 4]].tolist() == [1, 1, 0]
    for seed in range(20):  # of few rows the largest numbers are there once
        of_few = Units.of(np.random.default_rng(seed).geometric(0.4, (100, 1)), None, seed=0)
        assert (of_few.atoms.values.size, of_few.width) == (0, 1)


@pytest.mark.parametrize("digits", [16, 4])
@pytest.mark.parametrize("zeros", [0.1, 0.5, 0.97])
def test_zeros_are_atoms_however_many_and_however_the_others_are_written(rng, zeros, digits):
    x = np.where(rng.uniform(size=(1000, 1)) < zeros, 0, rng.gamma(2, size=(1000, 1)).round(digits))
    assert Units.of(x, None, seed=0).atoms.values.tolist() == [[0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("step", "middle"), [(0.1, 0.0), (0.01, 100.0), (0.05, -20.0)])
def test_decimals_lie_on_their_lattice_in_either_precision(rng, dtype, step, middle):
    x = (middle + step * rng.integers(-30, 30, (1000, 1))).astype(dtype)
    units = Units.of(x, None, seed=0)
    assert units.width == pytest.approx(step, rel=1e-3)
    off = (units.from_flow(rng.normal(size=(50, 1))) - middle) / step
    np.testing.assert_allclose(off, np.round(off), atol=0.02)


def test_the_log_slope_between_atoms_is_that_of_the_map(rng):
    x = mixed(rng, 3000, ones=0.2)[:, None]
    units = Units.of(x, (0, 1), seed=0)
    line = np.linspace(0.05, 0.95, 7)[:, None]
    slope = (units.to_flow(line + 1e-4)[0] - units.to_flow(line - 1e-4)[0])[:, 0] / 2e-4
    np.testing.assert_allclose(units.to_flow(line)[1], np.log(slope), atol=0.02)
