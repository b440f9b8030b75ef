import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from flow_models.evaluation import calibration
from tests.unit.evaluation.calibration.conjugate import WRONG, chance, simulate


def test_a_rank_is_the_number_of_samples_below_the_truth() -> None:
    samples = np.array([[[1.0, -1], [2, -2], [3, -3]]])
    assert calibration.sbc_ranks(samples, [[2.5, -9]]).tolist() == [[2, 0]]


def test_a_truth_that_equals_samples_gets_each_rank_between_them_as_often() -> None:
    samples = np.tile([[0.0], [1], [1], [2]], (4000, 1, 1))
    ranks = calibration.sbc_ranks(samples, np.ones((4000, 1)), seed=1)
    counts = np.bincount(ranks[:, 0], minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert all(chance(count, 4000, 1 / 3) for count in counts[1:4])


def test_the_lots_are_those_of_the_seed() -> None:
    samples, truth = np.zeros((50, 9, 1)), np.zeros((50, 1))
    first, again, other = (calibration.sbc_ranks(samples, truth, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_ranks_of_a_parameter_with_atoms_are_uniform_too() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(3, size=(2000, 10, 1)).astype(float)
    ranks = calibration.sbc_ranks(values[:, 1:], values[:, 0])
    assert calibration.ranks_inside_band(ranks, 9, level=0.999).inside.all()


def test_uniform_numbers_are_inside_the_band_at_its_level() -> None:
    band = calibration.simultaneous_band(60, level=0.9)
    uniform = np.random.default_rng(0).uniform(size=(4000, 60))
    ecdf = np.stack([(uniform <= point).mean(axis=1) for point in band.points], axis=1)
    inside = ((band.lower <= ecdf) & (ecdf <= band.upper)).all(axis=1)
    assert chance(inside.sum(), 4000, band.coverage)


@pytest.mark.parametrize(("n", "level"), [(20, 0.5), (100, 0.95), (1000, 0.95), (5000, 0.99)])
def test_the_band_is_no_wider_than_its_level_needs(n: int, level: float) -> None:
    assert level <= calibration.simultaneous_band(n, level=level).coverage < level + 0.04


def test_the_band_at_one_point_is_the_binomial_interval() -> None:
    band = calibration.simultaneous_band(50, level=0.95, points=[0.3])
    inside = binom.cdf(50 * band.upper, 50, 0.3) - binom.cdf(50 * band.lower - 1, 50, 0.3)
    assert band.coverage == pytest.approx(inside[0], rel=1e-9)
    np.testing.assert_allclose([50 * band.lower, 50 * band.upper], [[9], [21]])


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 200), level=st.floats(0.05, 0.999))
def test_the_band_is_around_the_diagonal_and_widens_with_its_level(n: int, level: float) -> None:
    band, wider = (calibration.simultaneous_band(n, level=value) for value in (level, (1 + level) / 2))
    slack = 1 / n  # the ECDF has steps
    assert (band.lower <= band.points + slack).all()
    assert (band.points - slack <= band.upper).all()
    assert (wider.lower <= band.lower).all()
    assert (band.upper <= wider.upper).all()


@pytest.mark.parametrize("draws", [7, 100])
def test_a_calibrated_posterior_is_inside_the_band_at_its_level(draws: int) -> None:
    checks = []
    for seed in range(200):
        right = simulate(100, draws, 2, seed=seed)
        ranks = calibration.sbc_ranks(right.samples, right.truth, seed=seed)
        checks.append(calibration.ranks_inside_band(ranks, draws, level=0.9))
    inside = sum(check.inside.sum() for check in checks)
    assert chance(inside, 400, checks[0].band.coverage)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_posterior_leaves_the_band(wrong: str) -> None:
    for seed in range(20):
        posterior = simulate(300, 50, 2, seed=seed, **WRONG[wrong])
        check = calibration.ranks_inside_band(calibration.sbc_ranks(posterior.samples, posterior.truth), 50)
        assert not check.inside.any()
        assert (check.excess > 0.01).all()


def test_each_parameter_is_judged_by_itself() -> None:
    uniform = np.arange(200) % 10
    check = calibration.ranks_inside_band(np.stack([uniform, np.minimum(uniform, 4)], axis=1), 9)
    assert check.inside.tolist() == [True, False]
    assert check.excess[0] == 0
    # At 1/2 all ranks are below, where the band would have about half of them.
    at_half = np.flatnonzero(check.band.points == 0.5)[0]
    assert check.ecdf[at_half].tolist() == [0.5, 1]
    assert check.excess[1] == pytest.approx(1 - check.band.upper[at_half])


def test_ranks_of_one_parameter_need_no_second_axis() -> None:
    assert calibration.ranks_inside_band(np.arange(100) % 10, 9).inside.tolist() == [True]


@pytest.mark.parametrize(
    ("ranks", "complaint"),
    [
        (np.zeros((0, 1), int), "not empty"),
        (np.array([[0, 10]]), r"not integers in \[0, 9\]"),
        (np.array([[-1]]), "not integers in"),
        (np.array([[0.5]]), "float64"),
    ],
)
def test_what_are_no_ranks_is_refused(ranks: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        calibration.ranks_inside_band(ranks, 9)


@pytest.mark.parametrize(
    ("n", "level", "points"), [(0, 0.9, None), (5, 1, None), (5, 0.9, [0.5, 0.2]), (5, 0.9, [0, 0.5]), (5, 0.9, [])]
)
def test_a_band_that_cannot_be_is_refused(n: int, level: float, points: list[float] | None) -> None:
    with pytest.raises(ValueError, match=r"a band needs|points must be"):
        calibration.simultaneous_band(n, level=level, points=points)


@pytest.mark.parametrize(
    ("samples", "truth", "complaint"),
    [
        (np.zeros((3, 4, 2)), np.zeros((3, 1)), "samples .* and truth"),
        (np.zeros((3, 4)), np.zeros((3, 4)), "samples .* and truth"),
        (np.zeros((3, 0, 2)), np.zeros((3, 2)), "samples .* and truth"),
        (np.zeros((2, 1, 1)), np.array([[0], [np.nan]]), "truth has a NaN in simulation 1"),
        (np.full((2, 1, 1), np.nan), np.zeros((2, 1)), "samples has a NaN in simulation 0"),
    ],
)
def test_samples_of_other_truths_are_refused(samples: np.ndarray, truth: np.ndarray, complaint: str) -> None:
    for measure in (
        calibration.sbc_ranks,
        calibration.tarp_fractions,
        calibration.z_score,
        lambda s, t: calibration.central_interval_coverage(s, t, [0.5]),
    ):
        with pytest.raises(ValueError, match=complaint):
            measure(samples, truth)
