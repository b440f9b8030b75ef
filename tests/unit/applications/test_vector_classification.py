from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from flow_models.applications.base import one_hot
from flow_models.applications.sources import LABELLED_TABLES, LabelledTable, rows
from flow_models.applications.vector_classification import APPLICATION, VectorClassification, modes_covered
from flow_models.applications.vectors import blueprint
from flow_models.data.tables import Columns, Rows, read_table, write_table
from flow_models.errors import FlowModelsError
from flow_models.settings import Settings
from flow_models.simulators.ring import ALL, SOME, Ring


class Truth:
    """Stands in for a trained model of the ring: its own densities and draws."""

    def __init__(self, ring: Ring) -> None:
        self._ring, self.classes = ring, ring.classes

    def joint_log_prob(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self._ring.bayes_probabilities(x)) + self._ring.log_prob(x)[:, None]

    def sample(self, number: int, *, context: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, 99])
        return self._ring.draw_class(int(context[0].argmax()), number, rng).astype(np.float32)


def settings_of(source: str, **sections: Any) -> Settings:
    content = {
        "application": "vector_classification",
        "data": {"source": source},
        "simulation": {"train": 600, "test": 800},
        "model": {"architecture": "realnvp", "layers": 2, "hidden": [8]},
    }
    return Settings.model_validate({**content, **sections})


def prepared(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(folder)
    write_table(APPLICATION.draw(settings), settings.prepared_folder)
    return settings


def test_the_truth_of_the_ring_is_bayes_optimum_and_its_samples_are_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared(settings_of("ring"), tmp_path, monkeypatch)
    evaluation = APPLICATION.evaluate(settings, Truth(Ring(labels=SOME)))
    metrics = evaluation.metrics
    assert metrics["accuracy"] == metrics["bayes_accuracy"] > 0.99
    assert abs(metrics["gap_to_truth"]) < 1e-6
    assert metrics["modes_covered"] == 8
    assert metrics["stray_samples"] < 0.03
    assert set(metrics["c2st"]) == set(metrics["mmd"]) == {"class_0", "class_1", "class_2", "class_3", "mean"}
    assert metrics["c2st"]["mean"] < 0.56
    assert metrics["ece"] < 0.01
    assert set(evaluation.figures) == {"reliability", "class_samples", "decisions"}
    assert set(evaluation.tables["reliability"]["classifier"]) == {"flow", *metrics["references"]}


def test_a_mode_that_is_never_drawn_is_missed() -> None:
    ring, rng = Ring(labels=SOME), np.random.default_rng(0)
    drawn = ring.draw_class(0, 2000, rng).astype(np.float32)
    assert modes_covered(ring, 0, drawn)[0] == 4
    lost = drawn[drawn[:, 1] > 0][: len(drawn)]
    three, _ = modes_covered(ring, 0, lost[lost[:, 0] > -2])
    assert three == 3


def test_samples_between_the_modes_or_at_those_of_other_classes_are_strays() -> None:
    ring = Ring(labels=ALL)
    assert modes_covered(ring, 0, np.zeros([50, 2], np.float32)) == (0, 1.0)
    of_another = ring.draw_class(5, 50, np.random.default_rng(0)).astype(np.float32)
    assert modes_covered(ring, 0, of_another) == (0, 1.0)


@pytest.mark.parametrize("name", LABELLED_TABLES)
def test_a_real_table_is_cut_into_rows_that_are_disjoint_and_by_seed(name: str) -> None:
    table = LabelledTable(name)
    train, test = (table.draw(10_000, seed=3, stream=stream) for stream in (0, 1))
    assert abs(len(test) / (len(train) + len(test)) - 0.25) < 0.01
    rounded = {tuple(row) for row in np.round(train.x)}
    assert not rounded & {tuple(row) for row in np.round(test.x)} or name != "digits"
    np.testing.assert_array_equal(table.draw(10_000, seed=3, stream=0).x, train.x)
    assert not np.array_equal(table.draw(10_000, seed=4, stream=0).labels, train.labels)
    assert set(train.labels) == set(test.labels) == set(range(len(table.columns.classes)))


def test_values_that_tie_are_spread_and_constant_columns_are_left_out() -> None:
    table = LabelledTable("digits")
    first, fresh = (table.draw(2000, seed=0, stream=stream).x for stream in (0, 2))
    assert first.shape[1] == len(table.columns.x) == 61
    assert len(np.unique(first[:, 0])) == len(first)
    np.testing.assert_array_equal(np.round(first), np.round(fresh))
    assert 0 < abs(first - fresh).max() <= 1


def test_a_real_table_is_measured_beside_the_references_without_what_needs_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared(settings_of("wine"), tmp_path, monkeypatch)
    table = read_table(settings.prepared_folder)
    model = blueprint(settings, table).build()
    train = table.rows("train")
    model.initialise(train.x, one_hot(train.labels, 3))
    evaluation = APPLICATION.evaluate(settings, model)
    assert "c2st" not in evaluation.metrics
    assert "bayes_accuracy" not in evaluation.metrics
    best = max(each["accuracy"] for each in evaluation.metrics["references"].values())
    assert best > 0.9
    assert set(evaluation.figures) == {"reliability", "class_samples"}
    joint = np.asarray(model.joint_log_prob(table.rows("test").x), np.float64)
    loss = evaluation.metrics["negative_log_likelihood"]
    np.testing.assert_allclose(loss, -logsumexp(joint, axis=1).mean())


def test_a_model_of_other_classes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = prepared(settings_of("ring"), tmp_path, monkeypatch)
    with pytest.raises(FlowModelsError, match="tells 8 classes apart, the table has 4; train it on this table"):
        APPLICATION.evaluate(settings, Truth(Ring(labels=ALL)))


def test_one_class_only_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OneClass:
        columns = Columns(x=("a", "b"), classes=("only", "never"))

        def draw(self, number: int, *, seed: int, stream: int) -> Rows:
            x = np.random.default_rng([seed, stream]).standard_normal([number, 2])
            return rows(x, labels=np.zeros(number, int))

    class Alone(VectorClassification):
        def source(self, settings: Settings) -> Any:  # noqa: ARG002 - there is one source only
            return OneClass()

    monkeypatch.chdir(tmp_path)
    settings = settings_of("ring")
    write_table(Alone().draw(settings), settings.prepared_folder)
    with pytest.raises(FlowModelsError, match="training has one class only; a classifier needs two"):
        Alone().learn(settings)


def test_fewer_rows_than_columns_are_refused_in_one_line() -> None:
    with pytest.raises(FlowModelsError, match="11 rows to train on are fewer than their 13 columns"):
        APPLICATION.draw(settings_of("wine", simulation={"train": 12, "test": 5}))


def test_an_unknown_source_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(FlowModelsError, match="no labelled set iris; known: ring, ring_distinct, wine"):
        APPLICATION.source(settings_of("iris"))
