from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from flow_models.evaluation import two_sample
from flow_models.evaluation.two_sample import c2st, energy_distance, mmd_squared

DISTANCES = {"mmd_squared": mmd_squared, "energy_distance": energy_distance}
# How each distance compares two points that are d apart, as `mean within - mean between` needs it.
SIMILARITIES = {
    "mmd_squared": lambda d: sum(1 / (1 + (d / h) ** 2) for h in (0.05, 0.2, 0.9)),
    "energy_distance": lambda d: -d,
}
distances = pytest.mark.parametrize("name", DISTANCES)


def normal(shape: tuple[int, ...], *, seed: int, shift: float = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, size=shape)


def test_sets_of_one_distribution_cannot_be_told_apart() -> None:
    # Held-out accuracy over 1,000 points has a standard deviation of 0.016.
    assert c2st(normal((500, 2), seed=0), normal((500, 2), seed=1), seed=0) == pytest.approx(0.5, abs=0.05)


def test_shifted_gaussians_are_told_apart_as_often_as_bayes_rule_can() -> None:
    accuracy = c2st(normal((500, 2), seed=0), normal((500, 2), seed=1, shift=np.sqrt(2)), seed=0)
    assert accuracy == pytest.approx(norm.cdf(1), abs=0.04)  # the means are 2 apart


def test_distant_sets_are_always_told_apart() -> None:
    assert c2st(normal((100, 1), seed=0), normal((100, 1), seed=1, shift=20), seed=0) == 1


def test_c2st_sees_no_units() -> None:
    a, b, units = normal((40, 2), seed=0), normal((40, 2), seed=1, shift=0.5), np.array([2.0**20, 2.0**-20])
    assert c2st(a, b, seed=3, hidden=(5,)) == c2st(a * units, b * units, seed=3, hidden=(5,))


def test_a_collapsed_reference_is_told_from_samples_with_width() -> None:
    a, b = normal((100, 2), seed=0), normal((100, 2), seed=1)
    a[:, 1] = 0.25
    assert c2st(a, b, seed=0, folds=3, hidden=(30,)) > 0.9


def test_c2st_is_the_same_for_one_seed() -> None:
    a, b = normal((60, 1), seed=0), normal((60, 1), seed=1, shift=0.5)
    assert c2st(a, b, seed=5) == c2st(a, b, seed=5)


@distances
def test_a_distance_is_that_of_the_sums_over_all_pairs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sample, "_PAIRS_AT_ONCE", 60)  # several blocks, the last one short
    a, b = normal((13, 3), seed=0), normal((17, 3), seed=1, shift=0.3)
    similar = SIMILARITIES[name]

    def mean(x: np.ndarray, y: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    similar(np.linalg.norm(p - q))
                    for i, p in enumerate(x)
                    for j, q in enumerate(y)
                    if x is not y or i != j
                ]
            )
        )

    assert DISTANCES[name](a, b) == pytest.approx(mean(a, a) + mean(b, b) - 2 * mean(a, b), rel=1e-10)


@distances
def test_a_distance_is_zero_in_the_mean_over_sets_of_one_distribution(name: str) -> None:
    values = [DISTANCES[name](normal((20, 2), seed=2 * k), normal((30, 2), seed=2 * k + 1)) for k in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


@distances
def test_the_distance_of_shifted_gaussians_is_the_integral(name: str) -> None:
    shift, similar = 1.5, SIMILARITIES[name]

    def expected(mean: float) -> float:  # over the difference of two points, which is N(mean, 2)
        return quad(lambda d: similar(abs(d)) * norm.pdf(d, mean, np.sqrt(2)), -12, 12, points=[0, mean])[0]

    truth = 2 * expected(0) - 2 * expected(shift)
    a, b = normal((2000, 1), seed=0), normal((2000, 1), seed=1, shift=shift)
    assert DISTANCES[name](a, b) == pytest.approx(truth, rel=0.1)


@distances
@given(shift=st.floats(-1e3, 1e3), seed=st.integers(0, 99))
def test_a_distance_is_symmetric_and_does_not_see_the_origin(name: str, shift: float, seed: int) -> None:
    a, b = normal((6, 2), seed=seed), normal((5, 2), seed=seed + 100)
    distance = DISTANCES[name]
    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-12)
    assert distance(a + shift, b + shift) == pytest.approx(distance(a, b), abs=1e-8)


@pytest.mark.parametrize("measure", [*DISTANCES.values(), lambda a, b: c2st(a, b, seed=0)], ids=[*DISTANCES, "c2st"])
@pytest.mark.parametrize(
    ("a", "b", "complaint"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1)), r"a \(3, 2\) and b \(3, 1\)"),
        (np.zeros(3), np.zeros(3), "two sets of points"),
        (np.zeros((3, 2)), np.zeros((1, 2)), "b has 1 points"),
        (np.array([[0.0], [np.nan]]), np.zeros((2, 1)), "a has .* not finite in row 1"),
        (np.zeros((2, 1)), np.array([[np.inf], [0]]), "b has .* not finite in row 0"),
    ],
)
def test_what_are_no_two_sets_of_points_is_refused(
    measure: Callable[..., float], a: np.ndarray, b: np.ndarray, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        measure(a, b)


@pytest.mark.parametrize("widths", [(), (0.1, 0.0)])
def test_a_kernel_without_width_is_refused(widths: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a kernel needs positive ones"):
        mmd_squared(np.zeros((2, 1)), np.zeros((2, 1)), widths=widths)
