import numpy as np
import pytest

from flow_models.evaluation.likelihood import bits_per_dim, dequantise, mean_and_standard_error


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(6, 4, 5, 3)).astype(np.uint8)


def test_a_uniform_density_over_the_grey_levels_has_eight_bits_per_dim() -> None:
    dimensions = 12
    np.testing.assert_allclose(bits_per_dim([-dimensions * np.log(256)], dimensions), [8], rtol=1e-14)


def test_bits_per_dim_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="dimensions is 0"):
        bits_per_dim([-1.0], 0)


def test_the_floor_of_a_dequantised_image_is_the_image(images: np.ndarray) -> None:
    images[0] = 255
    x = dequantise(images, seed=3)
    assert x.dtype == np.float32
    assert x.max() < 256
    np.testing.assert_array_equal(np.floor(x), images)


def test_the_noise_of_dequantisation_is_uniform() -> None:
    noise = dequantise(np.zeros((1, 200, 200, 1), np.uint8), seed=0).ravel()
    deciles = np.histogram(noise, bins=10, range=(0, 1))[0] / noise.size
    np.testing.assert_allclose(deciles, 0.1, atol=0.01)


def test_dequantising_an_image_does_not_depend_on_its_neighbours(images: np.ndarray) -> None:
    np.testing.assert_array_equal(dequantise(images, seed=1)[4:], dequantise(images[4:], seed=1))


def test_another_seed_gives_other_noise(images: np.ndarray) -> None:
    assert (dequantise(images, seed=1) != dequantise(images, seed=2)).any()


def test_only_batches_of_eight_bit_images_are_dequantised(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="float32"):
        dequantise(images.astype(np.float32), seed=0)
    with pytest.raises(ValueError, match=r"\(4, 5, 3\)"):
        dequantise(images[0], seed=0)


def test_mean_and_standard_error_of_one_to_four() -> None:
    mean, error = mean_and_standard_error([1, 2, 3, 4])
    assert mean == 2.5
    assert error == pytest.approx(np.sqrt(5 / 3) / 2)


def test_a_single_value_has_no_standard_error() -> None:
    assert np.isnan(mean_and_standard_error([1.0])[1])


@pytest.mark.parametrize(("values", "complaint"), [([], "n > 0"), ([1.0, np.nan], "value 1 is NaN"), (1.0, "n > 0")])
def test_a_mean_of_nothing_or_of_nan_is_refused(values: list[float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        mean_and_standard_error(values)
