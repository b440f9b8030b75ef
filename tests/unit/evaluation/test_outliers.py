from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from flow_models.evaluation import outliers
from flow_models.statistics import latent_statistics

MEASURES = {
    "auroc": outliers.auroc,
    "average_precision": outliers.average_precision,
    "fpr_at_95_tpr": outliers.fpr_at_95_tpr,
}
some_scores = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


def test_typicality_is_the_distance_of_the_negative_log_likelihood_from_the_entropy() -> None:
    scores = outliers.typicality([-2.0, -5.0, 0.0], entropy=2.0)
    np.testing.assert_allclose(scores, [0, 3, 2])


def test_input_complexity_is_the_models_bits_less_the_compressors() -> None:
    scores = outliers.input_complexity(-np.log(2) * np.array([10.0, 3.0]), compressor_bits=[4, 7])
    np.testing.assert_allclose(scores, [6, -4])


def test_input_complexity_of_different_images_is_refused() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        outliers.input_complexity([-1.0, -2.0], compressor_bits=[4.0])


def test_images_that_are_too_likely_are_found_by_typicality_and_not_by_likelihood() -> None:
    rng = np.random.default_rng(0)
    normal, plain = rng.normal(-100, 5, 300), rng.normal(-60, 5, 300)
    by_likelihood = outliers.auroc(*map(outliers.negative_log_likelihood, (normal, plain)))
    by_typicality = outliers.auroc(*(outliers.typicality(each, entropy=100) for each in (normal, plain)))
    assert by_likelihood < 0.01
    assert by_typicality > 0.99


def test_goodness_of_fit_of_white_noise_is_chi_squared_and_larger_for_any_other_latents() -> None:
    rng, parts = np.random.default_rng(0), [(4, 4, 6), (8, 8, 3)]
    noise = rng.normal(size=(2000, 288))
    score = outliers.goodness_of_fit(latent_statistics(noise, parts))
    assert kstest(score, chi2(8).cdf).statistic < 0.08  # the squares' skewness is not quite gone
    for other in (noise[:200] * 1.5, noise[:200] + 0.4, np.sort(noise[:200], axis=1)):
        assert outliers.auroc(score, outliers.goodness_of_fit(latent_statistics(other, parts))) > 0.99


def test_auroc_counts_ties_half() -> None:
    assert outliers.auroc([1, 2, 3], [2, 4]) == 4.5 / 6


@given(inliers=some_scores, others=some_scores)
def test_auroc_is_the_share_of_pairs_in_order(inliers: list[int], others: list[int]) -> None:
    difference = np.subtract.outer(others, inliers)
    expected = (difference > 0).mean() + (difference == 0).mean() / 2
    assert outliers.auroc(inliers, others) == pytest.approx(expected)


def test_average_precision_of_four_images() -> None:
    # From the top: outlier (precision 1, recall 1/2), inlier, outlier (precision 2/3, recall 1).
    assert outliers.average_precision([1, 3], [2, 4]) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_false_positives_are_counted_where_nineteen_of_twenty_outliers_are_found() -> None:
    # The threshold is 2: the outliers 2 to 20 reach it, and of the inliers 2.5 and 30.
    assert outliers.fpr_at_95_tpr([0, 1.5, 2.5, 30], np.arange(1, 21)) == 0.5


def test_perfect_scores_have_perfect_measures() -> None:
    values = {name: measure([1, 2], [3, 4, 5]) for name, measure in MEASURES.items()}
    assert values == {"auroc": 1, "average_precision": 1, "fpr_at_95_tpr": 0}


def test_the_roc_curve_goes_from_none_to_all() -> None:
    fpr, tpr = outliers.roc_curve([1, 2, 3], [2, 4])
    assert (fpr[0], tpr[0]) == (0, 0)
    assert (fpr[-1], tpr[-1]) == (1, 1)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_an_infinite_score_is_the_most_outlying(measure: Callable[..., float]) -> None:
    assert measure([0, 1], [0.5, np.inf]) == measure([0, 1], [0.5, 2])


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@given(inliers=some_scores, others=some_scores)
def test_measures_see_nothing_but_order(measure: Callable[..., float], inliers: list[int], others: list[int]) -> None:
    assert measure(inliers, others) == measure(np.exp(inliers), np.exp(others))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(
    ("inliers", "others", "complaint"),
    [
        ([], [1], "inlier_scores has shape"),
        ([1], [], "outlier_scores has shape"),
        ([0, np.nan], [1], r"inlier_scores\[1\] is NaN"),
        ([0], [np.nan], r"outlier_scores\[0\] is NaN"),
    ],
)
def test_empty_or_nan_scores_are_refused_by_name(
    measure: Callable[..., float], inliers: list[float], others: list[float], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        measure(inliers, others)
