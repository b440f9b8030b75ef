from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_models.evaluation import classification

MEASURES = {
    "accuracy": classification.accuracy,
    "negative_log_likelihood": classification.negative_log_likelihood,
    "expected_calibration_error": classification.expected_calibration_error,
    "maximum_calibration_error": classification.maximum_calibration_error,
}


def binary(confidence: float, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of class 0 with one confidence, and labels that make so many of them right."""
    return np.tile([confidence, 1 - confidence], (right + wrong, 1)), np.repeat([0, 1], [right, wrong])


def test_accuracy_is_the_share_of_most_probable_classes_that_are_labels() -> None:
    p = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]]
    assert classification.accuracy(p, [0, 1, 0]) == pytest.approx(2 / 3)


def test_negative_log_likelihood_is_in_nats_per_prediction() -> None:
    assert classification.negative_log_likelihood([[0.5, 0.5], [0.25, 0.75]], [0, 0]) == pytest.approx(1.5 * np.log(2))


def test_a_label_of_probability_zero_is_infinitely_unlikely() -> None:
    assert classification.negative_log_likelihood([[1.0, 0.0]], [1]) == np.inf


def test_the_calibration_errors_are_the_mean_and_the_worst_gap() -> None:
    # Two bins: 30 predictions at 0.9 of which 0.8 are right, and 10 at 0.6 of which 0.9 are.
    p, y = (np.concatenate(parts) for parts in zip(binary(0.9, 24, 6), binary(0.6, 9, 1), strict=True))
    assert classification.expected_calibration_error(p, y) == pytest.approx(0.75 * 0.1 + 0.25 * 0.3)
    assert classification.maximum_calibration_error(p, y) == pytest.approx(0.3)


def test_the_reliability_curve_has_confidence_accuracy_and_share_of_each_bin() -> None:
    p, y = (np.concatenate(parts) for parts in zip(binary(0.9, 24, 6), binary(0.6, 9, 1), strict=True))
    curve = classification.reliability_curve(p, y, bins=4)
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, 0.6, 0.9])
    np.testing.assert_allclose(curve.accuracy, [np.nan, np.nan, 0.9, 0.8])
    np.testing.assert_allclose(curve.share, [0, 0, 0.25, 0.75])


def test_certain_and_right_predictions_are_perfect() -> None:
    values = {name: measure(np.eye(3), [0, 1, 2]) for name, measure in MEASURES.items()}
    assert values == {**dict.fromkeys(MEASURES, 0), "accuracy": 1}


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=50_000)
    y = (p.cumsum(axis=1) < rng.uniform(size=(len(p), 1))).sum(axis=1)
    assert classification.expected_calibration_error(p, y) < 0.01
    # Sharpened probabilities say too much.
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert classification.expected_calibration_error(sharp, y) > 0.15
    assert classification.negative_log_likelihood(sharp, y) > classification.negative_log_likelihood(p, y)


@given(seed=st.integers(0, 999), bins=st.integers(1, 40))
def test_the_worst_gap_is_at_least_the_mean_gap(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.ones(4), size=25), rng.integers(4, size=25)
    expected = classification.expected_calibration_error(p, y, bins=bins)
    assert 0 <= expected <= classification.maximum_calibration_error(p, y, bins=bins) + 1e-12 <= 1 + 1e-12


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(
    ("probabilities", "labels", "complaint"),
    [
        ([[0.5, 0.5]], [0, 1], "do not belong together"),
        ([0.5, 0.5], [0, 1], "do not belong together"),
        (np.zeros((0, 2)), np.zeros(0, int), "do not belong together"),
        ([[0.5, 0.5], [0.5, 0.6]], [0, 1], "row 1"),
        ([[1.5, -0.5]], [0], "row 0"),
        ([[np.nan, 1.0]], [0], "row 0"),
        ([[0.5, 0.5]], [2], "not integers in"),
        ([[0.5, 0.5]], [-1], "not integers in"),
        ([[0.5, 0.5]], [0.0], "float64"),
    ],
)
def test_what_is_no_prediction_is_refused(
    measure: Callable[..., float], probabilities: np.ndarray, labels: np.ndarray, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        measure(probabilities, labels)
