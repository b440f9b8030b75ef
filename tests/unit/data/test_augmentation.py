import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from flow_models.data.augmentation import augment
from flow_models.settings import AugmentationSettings


@pytest.fixture
def images() -> np.ndarray:
    """Smooth pictures, 40 times the same one."""
    rough = np.random.default_rng(0).normal(size=(12, 16, 3))
    smooth = gaussian_filter(rough, (2, 2, 0))
    picture = np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    return np.repeat(picture[None], 40, axis=0)


def varied(images: np.ndarray, seed: int = 0, **settings: float) -> np.ndarray:
    return np.asarray(augment(tf.constant(images), AugmentationSettings(**settings), seed=tf.constant([seed, 1])))


def test_a_flip_mirrors_about_every_second_image_exactly(images: np.ndarray) -> None:
    flipped = varied(images, flip=True)
    mirrored = np.array([np.array_equal(each, images[0, :, ::-1]) for each in flipped])
    same = np.array([np.array_equal(each, images[0]) for each in flipped])
    assert (mirrored ^ same).all()
    assert 10 <= mirrored.sum() <= 30


def test_a_shift_moves_by_whole_pixels_within_its_bound(images: np.ndarray) -> None:
    moved = varied(images, shift=0.25)
    inner = images[0, 3:-3, 4:-4]
    places = set()
    for each in moved:
        found = [
            (down, right)
            for down in range(7)
            for right in range(9)
            if np.array_equal(each[down : down + 6, right : right + 8], inner)
        ]
        assert found
        places.add(found[0])
    assert len(places) > 15


@pytest.mark.parametrize("settings", [{"rotation": 10.0}, {"zoom": 0.1}], ids=["rotation", "zoom"])
def test_a_rotation_and_a_zoom_leave_the_middle_where_it_was(images: np.ndarray, settings: dict[str, float]) -> None:
    changed = varied(images, **settings).astype(int)
    difference = np.abs(changed - images).mean(axis=(0, 3))
    assert difference[5:7, 7:9].max() < 5
    assert difference[0].mean() > 2 * difference[5:7].mean() or difference[:, 0].mean() > 2 * difference[:, 7:9].mean()


def test_draws_follow_the_seed(images: np.ndarray) -> None:
    everything = {"flip": True, "shift": 0.1, "zoom": 0.1, "rotation": 5.0}
    np.testing.assert_array_equal(varied(images, **everything), varied(images, **everything))
    assert not np.array_equal(varied(images, **everything), varied(images, seed=1, **everything))
    assert not np.array_equal(*varied(images, **everything)[:2])


def test_nothing_is_done_unless_asked_for(images: np.ndarray) -> None:
    np.testing.assert_array_equal(varied(images), images)
