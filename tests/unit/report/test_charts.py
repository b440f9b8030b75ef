from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from flow_models.report import charts

rng = np.random.default_rng(0)
STRAIGHT = charts.Curve(np.array([0.0, 1]), np.array([0.0, 1]), 0.5)
CHARTS: dict[str, Callable[[], Figure]] = {
    "histograms": lambda: charts.score_histograms(
        {"typicality (nats)": {"inliers": rng.normal(size=50), "noise": [1.0, 1e9]}, "size (bits)": {"inliers": [4]}}
    ),
    "roc": lambda: charts.roc_curves({"noise": {"likelihood": STRAIGHT, "typicality": STRAIGHT}}),
    "latent": lambda: charts.latent_scatter({"images": rng.normal(size=(9, 2))}, explained=[0.5, 0.25]),
    "history": lambda: charts.training_history(
        epochs=[1, 2], seconds=[3.0, 6.0], train_bits_per_dim=[4.0, 3.5], holdout_bits_per_dim=[4.1, 3.6]
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_axis_of_every_chart_is_labelled(name: str) -> None:
    axes = CHARTS[name]().axes
    assert axes
    assert all(each.get_xlabel() and each.get_ylabel() for each in axes)


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_names_what_it_shows(name: str) -> None:
    assert CHARTS[name]().axes[0].get_legend().get_texts()


def test_the_legend_of_a_roc_curve_says_its_area() -> None:
    texts = [each.get_text() for each in CHARTS["roc"]().axes[0].get_legend().get_texts()]
    assert texts == ["likelihood 0.500", "typicality 0.500"]


def test_shares_of_a_histogram_sum_to_one_whatever_lies_beyond() -> None:
    values = np.array([-1e9, 0.0, 0.4, 1.0, 1e9])
    shares = charts.histogram_shares(values, np.linspace(0, 1, 5))
    np.testing.assert_allclose(shares, [0.4, 0.2, 0, 0.4])


@pytest.mark.parametrize("values", [[0.0], [-3.0, -3.0], [1e12, 1e12]])
def test_edges_increase_even_if_all_scores_are_equal(values: list[float]) -> None:
    assert (np.diff(charts.histogram_edges({"set": values})) > 0).all()


def test_the_tail_of_another_set_does_not_hide_the_first() -> None:
    edges = charts.histogram_edges({"inliers": np.linspace(0, 1, 999), "noise": [2.0, 1e9]})
    assert edges[0] == 0
    assert 2.9 < edges[-1] < 3


def test_points_far_from_the_first_set_are_drawn_on_the_frame() -> None:
    figure = charts.latent_scatter({"images": [[0, 1], [-1, 0]], "noise": [[1e9, -1e9]]}, explained=[0.5, 0.25])
    np.testing.assert_array_equal(figure.axes[0].collections[1].get_offsets(), [[2.5, -2.5]])


def test_history_of_a_single_epoch_can_be_drawn() -> None:
    charts.training_history(epochs=[1], seconds=[2.0], train_bits_per_dim=[4.0], holdout_bits_per_dim=[np.nan])
