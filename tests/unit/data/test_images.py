import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flow_models.data.errors import UnreadableError
from flow_models.data.images import MODES, decode, open_image, pillow_silenced


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


NOISE = Image.effect_noise((64, 48), 60)
JPEG = encoded(NOISE, "JPEG")


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    assert np.array_equal(decode(encoded(NOISE), (48, 64, 1))[..., 0], np.asarray(NOISE))


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    checkerboard = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8))
    small = decode(encoded(checkerboard), (8, 8, 1))
    assert np.all(abs(small.astype(int) - 127) <= 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_grey_or_colour(mode: str) -> None:
    content = encoded(NOISE.convert("RGB").convert(mode), "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG")
    for channels in (1, 3):
        pixels = decode(content, (8, 12, channels))
        assert pixels.shape == (8, 12, channels)
        assert pixels.dtype == np.uint8


def test_sixteen_bits_are_shortened_to_eight() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    image = Image.fromarray(values)
    assert image.mode in MODES
    assert decode(encoded(image), (1, 5, 1)).ravel().tolist() == [0, 0, 1, 128, 255]


def test_transparency_is_shown_on_white() -> None:
    assert decode(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0))), (2, 2, 3)).min() == 255


def test_a_photograph_is_turned_upright() -> None:
    sideways = Image.fromarray(np.array([[0, 255]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    assert open_image(encoded(sideways, exif=exif)).size == (1, 2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html><body>404</body></html>", 'not an image (starts with "<html><b")'),
        (b"\x00\x01\x02\xff rubbish", "not an image (starts with bytes 000102ff20727562)"),
        (JPEG[: len(JPEG) // 2], "truncated image"),
        (JPEG[:-20], "truncated image"),
        (encoded(NOISE)[:-200], "truncated image"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        decode(content, (8, 8, 1))
    assert str(caught.value) == reason


def test_a_mode_of_unknown_range_is_refused() -> None:
    with pytest.raises(UnreadableError, match="mode F"):
        decode(encoded(Image.new("F", (8, 8)), "TIFF"), (8, 8, 1))


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for side in (40, 100):  # Pillow alone would only warn of the first
        with pillow_silenced(), pytest.raises(UnreadableError, match="more than 1000 pixels"):
            decode(encoded(Image.new("L", (side, side))), (8, 8, 1))


@given(st.data())
def test_no_damage_raises_anything_else(data: st.DataObject) -> None:
    content = bytearray(
        data.draw(st.sampled_from([JPEG, encoded(NOISE), encoded(NOISE, "GIF"), encoded(NOISE, "BMP")]))
    )
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadableError):
        assert decode(bytes(content), (8, 8, 3)).shape == (8, 8, 3)
