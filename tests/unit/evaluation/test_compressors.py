import io

import numpy as np
import pytest
from PIL import Image

from flow_models.evaluation.compressors import CODECS, compressed_bits


@pytest.mark.parametrize("channels", [1, 3])
def test_bits_of_png_are_those_of_a_file(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(8, 6, channels)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, format="PNG", optimize=True)
    assert compressed_bits(image[None]).tolist() == [8 * len(file.getvalue())]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("codec", CODECS)
def test_a_plain_image_compresses_better_than_noise(codec: str, channels: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size=(16, 16, channels)).astype(np.uint8)
    plain, noisy = compressed_bits(np.stack([np.full_like(noise, 7), noise]), codec=codec)
    assert 0 < plain < noisy / 2
    assert noisy >= 0.95 * 8 * noise.size


def test_what_cannot_be_compressed_is_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        compressed_bits(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="2 channels"):
        compressed_bits(np.zeros((1, 8, 8, 2), np.uint8))
    with pytest.raises(ValueError, match="no codec gif; known: png, webp"):
        compressed_bits(np.zeros((1, 8, 8, 1), np.uint8), codec="gif")
