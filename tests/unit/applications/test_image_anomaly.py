from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow_models.applications.base import Application, Evaluation
from flow_models.applications.image_anomaly import ImageAnomaly
from flow_models.applications.image_scores import held_out, score_images
from flow_models.errors import FlowModelsError
from flow_models.evaluation.outlier_score import SCORES
from flow_models.report.page import Verdict, render_page
from flow_models.settings import Settings

pytestmark = pytest.mark.usefixtures("score")


@pytest.fixture
def evaluation(settings: Settings, model: Any, shards: Path) -> Evaluation:
    application: Application = ImageAnomaly()
    return application.evaluate(settings, model)


def test_bits_per_dim_are_near_the_entropy_of_the_data(evaluation: Evaluation, model: Any) -> None:
    entropy = np.log2(model.width * np.sqrt(2 * np.pi * np.e))
    assert evaluation.metrics["bits_per_dim"] == pytest.approx(entropy, abs=0.1)
    assert evaluation.metrics["holdout_bits_per_dim"] == pytest.approx(entropy, abs=0.1)
    assert 0 < evaluation.metrics["bits_per_dim_se"] < 0.1


def test_every_class_of_val_that_was_not_trained_on_is_an_outlier_set(evaluation: Evaluation) -> None:
    assert evaluation.metrics["images"]["inliers"] == 20
    assert evaluation.metrics["images"]["outliers"] == {"noise": 15, "upside": 10}
    assert 0 < evaluation.metrics["images"]["holdout"] < 60


def test_each_measure_is_by_set_and_score(evaluation: Evaluation) -> None:
    for measure in ("auroc", "average_precision", "fpr_at_95_tpr"):
        values = evaluation.metrics[measure]
        assert list(values) == ["noise", "upside"]
        assert all(tuple(each) == SCORES for each in values.values())


def test_the_model_finds_what_the_compressor_cannot(evaluation: Evaluation) -> None:
    upside = evaluation.metrics["auroc"]["upside"]
    assert upside["likelihood"] == upside["typicality"] == upside["input_complexity"] == 1
    assert upside["compressor"] < 0.9
    mean = np.mean([each["compressor"] for each in evaluation.metrics["auroc"].values()])
    assert evaluation.metrics["mean_auroc"]["compressor"] == pytest.approx(mean)


def test_p_values_raise_few_alarms_on_inliers_and_find_outliers(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    assert metrics["smallest_p_value"] == 1 / (metrics["images"]["calibration"] + 1)
    table = evaluation.tables["scores"]
    for name, rate in metrics["alarm_rate"].items():
        assert rate == (table.loc[table["set"] == name, "p_value"] <= metrics["alpha"]).mean()
    assert table.loc[table["set"] == "noise", "p_value"].unique() == [metrics["smallest_p_value"]]
    assert list(metrics["discoveries"]) == ["noise", "upside"]


@pytest.mark.parametrize(("alpha", "found"), [(0.3, 1), (0.05, 0)])
def test_benjamini_hochberg_finds_what_the_calibration_images_allow(
    alpha: float, found: float, settings: Settings, model: Any
) -> None:
    settings = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"alpha": alpha})})
    metrics = ImageAnomaly().evaluate(settings, model).metrics
    assert 0.05 < metrics["smallest_p_value"] < 0.2
    assert metrics["discoveries"]["noise"]["found"] == found
    assert metrics["discoveries"]["noise"]["false"] <= alpha


def test_the_halves_of_the_held_out_images_are_those_of_any_run_and_share_none(settings: Settings) -> None:
    (fitting, calibrating), again = held_out(settings), held_out(settings)
    assert not set(fitting.keys) & set(calibrating.keys)
    assert 0 <= len(fitting.keys) - len(calibrating.keys) <= 1
    assert list(again[1].keys) == list(calibrating.keys)
    assert list(held_out(settings.model_copy(update={"seed": 1}))[0].keys) != list(fitting.keys)


def test_the_reconstruction_error_is_a_share_of_the_grey_scale(settings: Settings, model: Any) -> None:
    model.decode = lambda z: type(model).decode(model, z) + 0.256
    metrics = ImageAnomaly().evaluate(settings, model).metrics
    assert metrics["reconstruction_error"] == pytest.approx(1e-3, rel=1e-3)
    assert list(metrics["reconstruction"]) == [
        *("inliers", "noise", "upside", "generated", "all black", "all white", "random pixels")
    ]
    assert list(metrics["reconstruction"].values()) == pytest.approx([1e-3] * 7, rel=1e-3)


def test_a_reconstruction_that_is_not_finite_is_a_very_large_error(settings: Settings, model: Any) -> None:
    model.decode = lambda z: np.where(np.abs(z) > 4, np.inf, z).reshape(-1, *model.event_shape)
    errors = ImageAnomaly().evaluate(settings, model).metrics["reconstruction"]
    assert errors["all black"] == np.finfo(np.float32).max


def test_an_image_has_the_same_score_in_any_batch(settings: Settings, model: Any) -> None:
    alone = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"batch_size": 1})})
    together, single = score_images(settings, model), score_images(alone, model)
    np.testing.assert_array_equal(together.inliers.log_prob, single.inliers.log_prob)


def test_evaluating_twice_gives_the_same_numbers(evaluation: Evaluation, settings: Settings, model: Any) -> None:
    again = ImageAnomaly().evaluate(settings, model)
    assert again.metrics == evaluation.metrics
    assert all(again.tables[name].equals(table) for name, table in evaluation.tables.items())


def test_tables_say_what_the_plots_need(evaluation: Evaluation) -> None:
    assert list(evaluation.tables["roc"]) == ["set", "score", "false_positive_rate", "true_positive_rate"]
    assert list(evaluation.tables["histogram"]) == ["score", "set", "value", "share"]
    scores = evaluation.tables["scores"]
    assert len(scores) == 45
    assert scores["key"].str.startswith("val/").all()


def test_the_report_shows_every_picture_that_is_written(evaluation: Evaluation, settings: Settings) -> None:
    html = render_page(evaluation.page(verdict=Verdict(passed=True, sentence="Good"), facts={}, settings=settings))
    assert html.count("<figure") == len(evaluation.figures) + 1
    assert html.count("<li data-values") == 20 + 10 + 15
    expected = {"roc", "histograms", "samples", "latent", "interpolation", "reconstruction", "likely"}
    assert expected | {"top_outliers_noise", "top_outliers_upside"} == set(evaluation.figures)


def test_the_course_of_training_is_shown_if_it_was_recorded(settings: Settings, model: Any, shards: Path) -> None:
    rows = "epoch,step,seconds,train_bits_per_dim,holdout_bits_per_dim,learning_rate\n1,9,2.5,6.1,6.2,0.001\n"
    (settings.model_folder / "history.csv").write_text(rows, encoding="utf-8")
    assert "history" in ImageAnomaly().evaluate(settings, model).figures


def test_a_model_without_a_finite_density_is_refused_with_the_image(settings: Settings, model: Any) -> None:
    model.log_prob = lambda x: np.where(type(model).log_prob(model, x) < -200, np.nan, 0.0)
    with pytest.raises(FlowModelsError, match=r"val/noise/\d+.png: the model has no finite density"):
        ImageAnomaly().evaluate(settings, model)


def test_shards_of_another_shape_than_the_models_are_refused(settings: Settings, model: Any) -> None:
    model.event_shape = (8, 8, 3)
    with pytest.raises(FlowModelsError, match=r"images are \(4, 4, 1\), but the model was trained on \(8, 8, 3\)"):
        ImageAnomaly().evaluate(settings, model)


class TestWithoutOutliers:
    @pytest.fixture
    def images(self, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {folder: pictures for folder, pictures in images.items() if folder not in ("val/upside", "val/noise")}

    def test_likelihood_and_pictures_are_still_reported(self, evaluation: Evaluation) -> None:
        assert evaluation.metrics["auroc"] == evaluation.metrics["mean_auroc"] == {}
        assert "was not measured" in evaluation.summary
        assert evaluation.tables["roc"].empty
        assert "samples" in evaluation.figures


class TestWithTwoInliers:
    @pytest.fixture
    def images(self, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            folder: pictures[:1] if folder in ("val/a", "val/b") else pictures for folder, pictures in images.items()
        }

    def test_too_few_inliers_are_refused(self, settings: Settings, model: Any) -> None:
        with pytest.raises(FlowModelsError, match="the inlier classes of val/: 2 images, evaluation needs at least 3"):
            ImageAnomaly().evaluate(settings, model)
