from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow_models.applications.distribution_mapping import APPLICATION
from flow_models.data.tables import write_table
from flow_models.errors import FlowModelsError
from flow_models.settings import Settings
from flow_models.simulators.point_sets import POINT_SETS


class Truth:
    """Stands in for a trained model: the density of a set itself, its draws moved by ``shift``."""

    def __init__(self, name: str, *, shift: float = 0.0) -> None:
        self._points, self._shift = POINT_SETS[name], shift

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        moved = x.astype(np.float64) - self._shift
        known = self._points.log_prob
        return known(moved) if known is not None else -0.5 * (moved**2).sum(axis=1)

    def sample(self, number: int, *, seed: int) -> np.ndarray:
        drawn = self._points.draw(number, np.random.default_rng([seed, 99])) + self._shift
        return drawn.astype(np.float32)

    def decode(self, z: np.ndarray) -> np.ndarray:
        return z


def prepared(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a set whose table lies in the current folder."""
    monkeypatch.chdir(folder)
    sections = {"data": {"source": name, "holdout": 0.1}, "simulation": {"train": 50, "test": 600}}
    settings = Settings.model_validate({"application": "distribution_mapping", **sections})
    write_table(APPLICATION.draw(settings), settings.prepared_folder)
    return settings


def test_the_true_density_has_no_gap_and_draws_nothing_strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = APPLICATION.evaluate(prepared("eight_gaussians", tmp_path, monkeypatch), Truth("eight_gaussians"))
    metrics = evaluation.metrics
    entropy = np.log(8 * 2 * np.pi * np.e * 0.2**2)  # of modes this far apart
    assert abs(metrics["negative_log_likelihood"] - entropy) < 4 * metrics["negative_log_likelihood_se"]
    assert abs(metrics["gap_to_truth"]) < 1e-6
    assert 0.4 < metrics["c2st"] < 0.56
    assert set(evaluation.figures) == {"samples", "density", "warped_grid"}
    assert evaluation.tables["points"]["set"].value_counts().to_dict() == {"data": 600, "samples": 600}
    assert "nats less" in evaluation.summary


def test_a_shifted_model_has_a_gap_and_its_samples_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared("eight_gaussians", tmp_path, monkeypatch)
    metrics = APPLICATION.evaluate(settings, Truth("eight_gaussians", shift=0.2)).metrics
    # |shift|² / 2σ², both coordinates being shifted by one deviation.
    assert abs(metrics["gap_to_truth"] - 1) < 4 * metrics["gap_to_truth_se"]
    assert metrics["c2st"] > 0.65


def test_where_the_density_is_not_known_there_is_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = APPLICATION.evaluate(prepared("two_moons", tmp_path, monkeypatch), Truth("two_moons"))
    assert set(evaluation.metrics) == {"negative_log_likelihood", "negative_log_likelihood_se", "c2st"}


def test_a_point_that_rounding_puts_on_an_edge_does_not_make_the_gap_infinite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared("checkerboard", tmp_path, monkeypatch)
    table = APPLICATION.draw(settings)
    test = table.frame.index[table.frame["split"] == "test"]
    table.frame.loc[test[0], ["x_1", "x_2"]] = np.float32([4.0, 3.0])
    write_table(table, settings.prepared_folder)

    class Board(Truth):
        def log_prob(self, x: np.ndarray) -> np.ndarray:
            return np.full(len(x), -np.log(32.0))

    assert abs(APPLICATION.evaluate(settings, Board("checkerboard")).metrics["gap_to_truth"]) < 1e-6


def test_an_unknown_set_is_refused_with_those_that_there_are() -> None:
    settings = Settings.model_validate({"application": "distribution_mapping", "data": {"source": "three_moons"}})
    with pytest.raises(FlowModelsError, match="there is no point set three_moons; known: two_moons, eight_gaussians"):
        APPLICATION.source(settings)
