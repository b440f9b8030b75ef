from collections.abc import Callable

import numpy as np
import pytest

from flow_models.evaluation.latent import linear_path, principal_plane, spherical_path


@pytest.fixture
def cloud() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2000, 4)) * [1, 5, 0.1, 3] + [7, 0, 0, 0]


def test_the_plane_lies_along_the_widest_directions(cloud: np.ndarray) -> None:
    plane = principal_plane(cloud)
    np.testing.assert_allclose(np.abs(plane.axes), np.eye(4)[[1, 3]], atol=0.05)
    np.testing.assert_allclose(plane.explained, np.array([25, 9]) / 35.01, atol=0.03)


def test_projected_points_are_centred_and_uncorrelated(cloud: np.ndarray) -> None:
    x, y = principal_plane(cloud).project(cloud).T
    np.testing.assert_allclose([x.mean(), y.mean(), np.corrcoef(x, y)[0, 1]], 0, atol=1e-10)


def test_the_order_of_the_points_does_not_turn_the_plane(cloud: np.ndarray) -> None:
    np.testing.assert_allclose(principal_plane(cloud).axes, principal_plane(cloud[::-1]).axes, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 5), (5, 1), (5,)])
def test_too_few_points_have_no_plane(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a plane needs"):
        principal_plane(np.zeros(shape))


@pytest.mark.parametrize("path", [linear_path, spherical_path])
def test_a_path_begins_and_ends_where_it_should(path: Callable[..., np.ndarray]) -> None:
    start, end = np.array([1.0, 2, 3]), np.array([-2.0, 0, 5])
    points = path(start, end, 7)
    assert points.shape == (7, 3)
    np.testing.assert_allclose(points[[0, -1]], [start, end], atol=1e-14)


def test_the_arc_between_unit_vectors_is_a_quarter_circle() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(spherical_path([1, 0], [0, 1], 3), [[1, 0], [half, half], [0, 1]], atol=1e-14)


def test_the_arc_keeps_the_norm_that_the_line_loses() -> None:
    start, end = np.array([3.0, 0, 0]), np.array([0.0, 3, 0])
    np.testing.assert_allclose(np.linalg.norm(spherical_path(start, end, 9), axis=1), 3)
    assert np.linalg.norm(linear_path(start, end, 9), axis=1).min() < 2.2


@pytest.mark.parametrize("end", [[2.0, 4.0], [-1.0, -2.0], [0.0, 0.0]], ids=["same", "opposite", "origin"])
def test_ends_without_an_arc_are_joined_by_a_line(end: list[float]) -> None:
    np.testing.assert_allclose(spherical_path([1, 2], end, 5), linear_path([1, 2], end, 5))
