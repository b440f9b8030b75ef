import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from flow_models.data.png import encode_png


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_another_decoder_reads_back_every_pixel(pixels: np.ndarray) -> None:
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), pixels)


def test_an_image_too_large_for_one_block_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        encode_png(np.zeros((256, 256), np.uint8))
