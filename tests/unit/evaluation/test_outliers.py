import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flow_models.evaluation import outliers

MEASURES = {
    "auroc": outliers.auroc,
    "average_precision": outliers.average_precision,
    "fpr_at_95_tpr": outliers.fpr_at_95_tpr,
}
some_scores = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


def test_typicality_is_the_distance_from_the_mean_of_the_reference() -> None:
    scores = outliers.typicality([-2.0, -5.0, 0.0], reference_log_prob=[-1.0, -3.0])
    np.testing.assert_allclose(scores, [0, 3, 2])


def test_input_complexity_is_the_models_bits_less_the_compressors() -> None:
    scores = outliers.input_complexity(-np.log(2) * np.array([10.0, 3.0]), compressor_bits=[4, 7])
    np.testing.assert_allclose(scores, [6, -4])


def test_input_complexity_of_different_images_is_refused() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        outliers.input_complexity([-1.0, -2.0], compressor_bits=[4.0])


@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_bits_are_those_of_a_png_file(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(8, 6, channels)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, format="PNG", optimize=True)
    assert outliers.compressed_bits(image[None]).tolist() == [8 * len(file.getvalue())]


def test_a_plain_image_compresses_better_than_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(16, 16, 1)).astype(np.uint8)
    plain, noisy = outliers.compressed_bits(np.stack([np.full_like(noise, 7), noise]))
    assert plain < noisy / 2


def test_compressed_bits_of_other_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        outliers.compressed_bits(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="2 channels"):
        outliers.compressed_bits(np.zeros((1, 8, 8, 2), np.uint8))


def test_images_that_are_too_likely_are_found_by_typicality_and_not_by_likelihood() -> None:
    rng = np.random.default_rng(0)
    normal, plain = rng.normal(-100, 5, 300), rng.normal(-60, 5, 300)
    by_likelihood = outliers.auroc(*map(outliers.negative_log_likelihood, (normal, plain)))
    by_typicality = outliers.auroc(*(outliers.typicality(each, reference_log_prob=normal) for each in (normal, plain)))
    assert by_likelihood < 0.01
    assert by_typicality > 0.99


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


def test_an_empty_reference_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="reference_log_prob"):
        outliers.typicality([-1.0], reference_log_prob=[])
