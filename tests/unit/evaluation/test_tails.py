import numpy as np
import pytest
from scipy.stats import gaussian_kde, logistic, norm

from flow_models.evaluation.tails import UpperTail


@pytest.fixture
def tail() -> UpperTail:
    return UpperTail.of(np.random.default_rng(0).normal(-7, 3, size=400))


def test_it_is_the_upper_tail_of_a_kernel_density_with_silvermans_spread(tail: UpperTail) -> None:
    away = np.array([-12.0, -7.0, 1.0])
    kernels = logistic(loc=tail.points, scale=tail.scale)
    np.testing.assert_allclose(tail.surprise(away), -np.log(kernels.sf(away[:, np.newaxis]).mean(axis=1)), rtol=1e-9)
    middle_half = np.subtract(*np.quantile(tail.points, [0.75, 0.25])) / (norm.ppf(0.75) - norm.ppf(0.25))
    spread = min(tail.points.std(), middle_half)
    assert kernels.std()[0] == pytest.approx(gaussian_kde(tail.points).factor * spread)


def test_of_normal_inliers_it_is_near_the_normal_tail(tail: UpperTail) -> None:
    away = np.array([-2.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(tail.surprise(-7 + 3 * away), -norm.logsf(away), atol=0.5)


def test_what_lies_low_surprises_nobody_and_far_beyond_all_inliers_it_goes_on_to_grow(tail: UpperTail) -> None:
    assert tail.surprise([-1e6, -np.inf]) == pytest.approx([0, 0], abs=1e-12)
    beyond = tail.surprise([10, 1e3, 1e6, np.inf])
    assert (np.diff(beyond) > 0).all()
    assert tail.surprise([np.nan]) == np.inf


def test_one_odd_inlier_does_not_smooth_the_tail_of_the_others_away(tail: UpperTail) -> None:
    beside_odd = UpperTail.of([*tail.points, -1e6])
    np.testing.assert_allclose(beside_odd.surprise([-7, 0, 5]), tail.surprise([-7, 0, 5]), rtol=0.02)


def test_a_statistic_that_never_varied_tells_when_it_does() -> None:
    assert UpperTail.of(np.full(50, 7.0)).surprise([8.0])[0] > 100
    hardly = UpperTail.of([*np.full(50, 7.0), 9.0])
    assert 0 < hardly.surprise([7.0])[0] < hardly.surprise([8.0])[0] < hardly.surprise([9.0])[0] < np.inf


def test_a_statistic_of_the_wrong_shape_and_one_that_is_not_finite_are_refused() -> None:
    for wrong in ([], [[1.0]]):
        with pytest.raises(ValueError, match="m > 0"):
            UpperTail.of(wrong)
    with pytest.raises(ValueError, match=r"statistic\[1\] is not finite"):
        UpperTail.of([1.0, np.inf])
