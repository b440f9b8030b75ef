import numpy as np
import pytest
from scipy.integrate import dblquad
from sklearn.neighbors import KernelDensity

from flow_models.evaluation.density_of_states import DensityOfStates


@pytest.fixture
def statistics() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 2)) @ [[100.0, 0.5], [0.0, 0.5]] + [3000, -7]


def test_it_is_a_density(statistics: np.ndarray) -> None:
    density = DensityOfStates.of(statistics)
    total, _ = dblquad(
        lambda b, a: np.exp(-density.negative_log_density([[a, b]])[0]), 2300, 3700, -12, -2, epsabs=1e-3
    )
    assert total == pytest.approx(1, abs=2e-3)


def test_in_whitened_units_it_is_scikit_learns_kernel_density(statistics: np.ndarray) -> None:
    density = DensityOfStates.of(statistics)
    theirs = KernelDensity(bandwidth=density.bandwidth).fit(density.points)
    fresh = statistics[:9] * [1.1, 0.8]
    ours = -density.negative_log_density(fresh) - np.linalg.slogdet(density.whitening)[1]
    np.testing.assert_allclose(ours, theirs.score_samples((fresh - density.center) @ density.whitening), rtol=1e-9)


def test_statistics_that_are_unusual_together_are_told_though_each_is_usual() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(300, 1))
    density = DensityOfStates.of(np.hstack([a, a + 0.1 * rng.normal(size=(300, 1))]))
    usual, unusual = density.negative_log_density([[1, 1], [1, -1]])
    assert unusual > usual + 5


def test_each_point_by_the_others_is_by_a_density_without_it(statistics: np.ndarray) -> None:
    density = DensityOfStates.of(statistics)
    others = KernelDensity(bandwidth=density.bandwidth).fit(density.points[1:]).score_samples(density.points[:1])
    expected = -others - np.linalg.slogdet(density.whitening)[1]
    np.testing.assert_allclose(density.of_each_by_the_others()[0], expected[0], rtol=1e-9)


def test_more_points_than_are_held_at_once_are_each_without_their_own() -> None:
    density = DensityOfStates.of(np.random.default_rng(2).normal(size=(1100, 2)))
    others = KernelDensity(bandwidth=density.bandwidth).fit(np.delete(density.points, 1050, axis=0))
    expected = -others.score_samples(density.points[1050:1051]) - np.linalg.slogdet(density.whitening)[1]
    np.testing.assert_allclose(density.of_each_by_the_others()[1050], expected[0], rtol=1e-9)


def test_far_from_all_points_further_is_more_unusual(statistics: np.ndarray) -> None:
    far = DensityOfStates.of(statistics).negative_log_density([[1e4, -7], [1e6, -7], [1e8, -7]])
    assert (np.diff(far) > 0).all()


def test_a_statistic_that_never_varied_tells_when_it_does() -> None:
    t = np.column_stack([np.random.default_rng(0).normal(size=50), np.full(50, 7.0)])
    same, other = DensityOfStates.of(t).negative_log_density([[0, 7], [0, 8]])
    assert np.isfinite([same, other]).all()
    assert other > same + 100


def test_what_is_not_finite_is_infinitely_unusual(statistics: np.ndarray) -> None:
    scores = DensityOfStates.of(statistics).negative_log_density([[np.nan, -7], [3000, np.inf], [3000, -7]])
    assert scores[:2].tolist() == [np.inf, np.inf]
    assert np.isfinite(scores[2])


def test_too_few_statistics_and_those_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="m > 1"):
        DensityOfStates.of([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"statistics\[1\] is not finite"):
        DensityOfStates.of([[1.0], [np.nan], [2.0]])
