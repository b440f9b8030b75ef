"""Rows may lie in a file."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import flow_models as fm
from flow_models.errors import FlowModelsError
from flow_models.estimators.rows import Part, parts, read_parquet
from flow_models.estimators.units import Units
from tests.unit.estimators.tiny import TINY


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(70_000, 3)).astype(np.float32)
    return pd.DataFrame(rows, columns=["depth", "share", "unit"])


@pytest.fixture
def path(table, tmp_path):
    table.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def test_a_density_of_a_parquet_file_is_that_of_its_table(table, path):
    of_file, of_table = fm.FlowDensity(**TINY).fit(str(path)), fm.FlowDensity(**TINY).fit(table)
    assert of_file.feature_names_in_.tolist() == list(table)
    np.testing.assert_allclose(of_file.score_samples(path), of_table.score_samples(table), rtol=1e-4)


def test_columns_of_a_file_are_found_by_their_names(table, path):
    detector = fm.FlowOutlierDetector(**TINY).fit(path)
    other = path.with_name("other.parquet")
    table[["unit", "depth", "share"]].assign(note="dry").head(100).to_parquet(other)
    np.testing.assert_array_equal(detector.p_values(other), detector.p_values(table.head(100)))
    table[["unit", "depth"]].to_parquet(other)
    with pytest.raises(ValueError, match="has no column 'share'; its columns: unit, depth"):
        detector.predict(other)


def test_a_classifier_and_a_posterior_take_files_as_well(table, path):
    labels = np.where(table["depth"] > 0, "right", "left")
    assert set(fm.FlowClassifier(**TINY).fit(path, labels).predict(path)) <= {"left", "right"}
    posterior = fm.FlowPosterior(**TINY).fit(path, table["depth"].to_numpy())
    assert posterior.predict(path).shape == (70_000,)


def test_classes_and_parameters_may_be_columns_of_the_file(table, path):
    few = table.head(300).assign(side=np.where(table["depth"].head(300) > 0, "right", "left"))
    few.to_parquet(path)
    classifier = fm.FlowClassifier(**TINY).fit(path, "side")
    of_table = fm.FlowClassifier(**TINY).fit(table.head(300), few["side"])
    assert classifier.feature_names_in_.tolist() == ["depth", "share", "unit"]
    np.testing.assert_allclose(classifier.predict_proba(path), of_table.predict_proba(table.head(300)), rtol=1e-4)
    few.drop(columns="side").to_parquet(path)
    posterior = fm.FlowPosterior(**TINY).fit(path, ["unit", "depth"])
    assert (posterior.parameter_names_, posterior.feature_names_in_.tolist()) == (["unit", "depth"], ["share"])
    one = fm.FlowPosterior(**TINY).fit(path, "unit")
    assert (one.parameter_names_, one.predict(path).shape) == (["unit"], (300,))
    with pytest.raises(ValueError, match="has no column 'width'; its columns: depth, share, unit"):
        fm.FlowPosterior(**TINY).fit(path, "width")


def test_a_list_of_words_is_of_classes_for_a_classifier(table, path):
    table.head(4).to_parquet(path)
    assert fm.FlowClassifier(**TINY).fit(path, ["wet", "dry", "wet", "dry"]).classes_.tolist() == ["dry", "wet"]


def test_rows_of_a_file_are_mapped_and_keep_their_precision(table, path):
    rows, names = read_parquet(path, ["unit", "share"])
    assert isinstance(rows, np.memmap)
    assert (rows.dtype, names) == (np.float32, ["unit", "share"])
    np.testing.assert_array_equal(rows, table[["unit", "share"]])
    pd.DataFrame({"count": [1, 2, None], "few": [1, 0, 1]}).astype({"count": "Int64"}).to_parquet(path)
    np.testing.assert_array_equal(read_parquet(path)[0], [[1, 1], [2, 0], [np.nan, 1]])
    with pytest.raises(ValueError, match="contains NaN"):
        fm.FlowDensity(**TINY).fit(path)


def test_files_that_will_not_do_are_refused_in_one_line(table, path, tmp_path):
    with pytest.raises(FlowModelsError, match=r"absent\.parquet: cannot be read as parquet"):
        fm.FlowDensity(**TINY).fit(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("depth,share")
    with pytest.raises(FlowModelsError, match=r"text\.parquet: cannot be read as parquet"):
        fm.FlowDensity(**TINY).fit(tmp_path / "text.parquet")
    table.assign(note="dry").to_parquet(path)
    with pytest.raises(
        ValueError, match=r"column 'note' holds (large_)?string, not numbers; leave it out or encode it"
    ):
        fm.FlowDensity(**TINY).fit(path)
    table.head(0).to_parquet(path)
    with pytest.raises(ValueError, match="has 0 rows of 3 columns"):
        fm.FlowDensity(**TINY).fit(path)


def test_a_part_of_an_array_is_as_the_array_of_its_rows(table):
    rows, which = table.to_numpy(), np.arange(1, 70_000, 2)
    part = Part(rows, which)
    assert (part.shape, len(part)) == ((35_000, 3), 35_000)
    np.testing.assert_array_equal(np.concatenate(list(parts(part))), rows[which])
    one, two = Units.of(part, None, seed=0), Units.of(rows[which], None, seed=0)
    np.testing.assert_array_equal(one.to_flow(rows)[0], two.to_flow(rows)[0])


@pytest.mark.parametrize("estimator", [fm.FlowClassifier, fm.FlowPosterior])
def test_a_million_mapped_rows_cost_a_few_numbers_each(estimator, tmp_path):
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", mode="w+", dtype=np.float32, shape=(1_000_000, 4))
    rows[:] = np.random.default_rng(0).normal(size=rows.shape)
    small = estimator(**TINY | {"max_iter": 1})
    small.fit(rows[:200], rows[:200, 0] > 0)  # TensorFlow compiles
    tracemalloc.start()
    small.fit(rows, rows[:, 0] > 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 90e6  # 32 MB would be one copy in float64 of the 16 that the file has
