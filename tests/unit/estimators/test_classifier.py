"""FlowClassifier: Bayes' rule on exact densities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

import flow_models as fm
from tests.unit.estimators.tiny import TINY, expected_failures


@parametrize_with_checks([fm.FlowClassifier(**TINY)], expected_failed_checks=expected_failures)
def test_it_keeps_scikit_learns_conventions(estimator, check):
    check(estimator)


def moons(number, seed):
    """Two classes on half circles about one another, with names; a quarter of the rows in the second."""
    rng = np.random.default_rng(seed)
    second = rng.uniform(size=number) < 0.25
    angle = np.pi * rng.uniform(size=number)
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    x = np.where(second[:, None], [1, 0.4] - x, x) + 0.1 * rng.normal(size=(number, 2))
    return x, np.where(second, "below", "above")


@pytest.fixture(scope="module")
def classifier():
    return fm.FlowClassifier(**TINY | {"layers": 4, "hidden": 32, "max_iter": 500}).fit(*moons(800, 0))


def test_classes_that_no_plane_divides_are_told_apart(classifier):
    x, y = moons(1000, 1)
    assert classifier.score(x, y) > 0.96
    assert classifier.classes_.tolist() == ["above", "below"]
    assert log_loss(y, classifier.predict_proba(x)) < 0.12


def test_few_rows_of_many_columns_are_enough():
    x, y = load_wine(return_X_y=True)
    train, test, of_train, of_test = train_test_split(x, y, test_size=0.4, random_state=0)
    classifier = fm.FlowClassifier(**TINY | {"max_iter": 100}).fit(train, of_train)
    assert classifier.score(test, of_test) > 0.94


def test_a_row_that_belongs_to_no_class_is_unlikely(classifier):
    x, _ = moons(500, 2)
    assert (classifier.score_samples([[5.0, 5.0]]) < classifier.score_samples(x).min()).all()


def test_samples_of_a_class_are_of_that_class(classifier):
    drawn = classifier.sample(300, label="below")
    assert (classifier.predict(drawn) == "below").mean() > 0.8
    assert (classifier.predict(classifier.sample(1000)) == "below").mean() == pytest.approx(0.25, abs=0.08)
    with pytest.raises(ValueError, match="no class 'beside'"):
        classifier.sample(label="beside")


def test_a_saved_classifier_answers_as_before(classifier, tmp_path):
    classifier.save(tmp_path / "classifier")
    again = fm.FlowClassifier.load(tmp_path / "classifier")
    x, _ = moons(50, 3)
    np.testing.assert_allclose(again.predict_proba(x), classifier.predict_proba(x), rtol=1e-4, atol=1e-6)
    assert again.predict(x).tolist() == classifier.predict(x).tolist()
