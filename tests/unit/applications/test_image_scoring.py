from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from flow_models import cli
from flow_models.applications import image_scoring
from flow_models.applications.image_scores import score_images
from flow_models.applications.image_scoring import SCHEMA, Scored, write_scores
from flow_models.data.sources import Source, open_source
from flow_models.errors import FlowModelsError
from flow_models.evaluation.conformal import benjamini_hochberg
from flow_models.evaluation.drift import decay
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.model import FlowModel
from flow_models.settings import Settings


def scored(model: Any, score: OutlierScore, source: str = "data/val") -> tuple[Scored, pd.DataFrame]:
    summary = write_scores(model, score, open_source(source), Path("out/scores.parquet"), alpha=0.3)
    assert pq.read_schema("out/scores.parquet").equals(SCHEMA)
    assert [path.name for path in Path("out").iterdir()] == ["scores.parquet"]
    return summary, pd.read_parquet("out/scores.parquet")


def test_scores_and_p_values_are_those_of_evaluation_in_any_batch(
    model: Any, score: OutlierScore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_scoring, "BATCH", 7)
    summary, table = scored(model, score)
    assert (summary.images, summary.unreadable, len(table)) == (45, 0, 45)
    evaluated = score_images(settings, model).named()["noise"]
    noise = table[table["key"].str.startswith("noise/")]
    np.testing.assert_array_equal("val/" + noise["key"], evaluated.images.keys)
    np.testing.assert_array_equal(noise["p_value"], evaluated.p_values)
    for name, values in evaluated.scores.items():
        np.testing.assert_allclose(noise[name], values)
    np.testing.assert_array_equal(noise["score"], noise[summary.score])


def test_outliers_are_found_among_all_images_and_alarms_in_each(model: Any, score: OutlierScore) -> None:
    summary, table = scored(model, score)
    np.testing.assert_array_equal(table["outlier"].astype(bool), benjamini_hochberg(table["p_value"], level=0.3))
    np.testing.assert_array_equal(table["alarm"].astype(bool), table["p_value"] <= 0.3)
    assert (summary.outliers, summary.alarms) == (table["outlier"].sum(), table["alarm"].sum())
    assert table.loc[table["key"].str.startswith(("noise", "upside")), "outlier"].all()
    assert summary.smallest_p_value == table["p_value"].min()
    told = decay(table["p_value"], promised=0.3, calibration_size=summary.calibration, level=0.01)
    assert (summary.alarms, summary.alarms_p_value) == (told.alarms, told.p_value)


def test_a_file_that_is_no_image_is_a_row_with_its_reason(model: Any, score: OutlierScore) -> None:
    Path("data/val/a/zz.jpg").write_text("<html>")
    Path("data/val/.hidden").write_text("passed over")
    summary, table = scored(model, score)
    assert (summary.images, summary.unreadable, len(table)) == (45, 1, 46)
    assert summary.reasons == ['a/zz.jpg: not an image (starts with "<html>")']
    row = table.set_index("key").loc["a/zz.jpg"]
    assert row["error"] == 'not an image (starts with "<html>")'
    assert row.drop("error").isna().all()
    assert table["error"].notna().sum() == 1


def test_a_source_of_nothing_but_unreadable_files_is_a_table_of_reasons(model: Any, score: OutlierScore) -> None:
    Path("bad").mkdir()
    Path("bad/one.png").write_bytes(b"")
    summary, table = scored(model, score, "bad")
    assert (summary.images, summary.unreadable) == (0, 1)
    assert list(table["error"]) == ["zero bytes"]


def test_what_was_there_stays_when_scoring_fails(model: Any, score: OutlierScore) -> None:
    scored(model, score)
    before = Path("out/scores.parquet").read_bytes()
    model.statistics = None
    with pytest.raises(TypeError):
        scored(model, score)
    assert [path.name for path in Path("out").iterdir()] == ["scores.parquet"]
    assert Path("out/scores.parquet").read_bytes() == before


@pytest.mark.parametrize("agreed", [False, True])
def test_who_scores_a_bucket_pays_for_it_only_if_told_to(
    model: Any, score: OutlierScore, monkeypatch: pytest.MonkeyPatch, *, agreed: bool
) -> None:
    score.save(Path())
    monkeypatch.setattr(FlowModel, "load", lambda _: model)
    asked: list[bool] = []

    def opened(uri: str, *, requester_pays: bool) -> Source:
        asked.append(requester_pays)
        return open_source(uri)

    monkeypatch.setattr("flow_models.data.sources.open_source", opened)
    cli.score("data/val", ".", Path("scores.parquet"), requester_pays=agreed)
    assert asked == [agreed]


def test_an_empty_source_and_another_kind_of_output_are_refused(model: Any, score: OutlierScore) -> None:
    Path("empty").mkdir()
    with pytest.raises(FlowModelsError, match="empty: no files here"):
        scored(model, score, "empty")
    with pytest.raises(FlowModelsError, match=r"scores.csv: the output is .parquet"):
        write_scores(model, score, open_source("data/val"), Path("scores.csv"), alpha=0.1)
