import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from flow_models.report.figures import image_rows, image_sheets
from flow_models.report.theme import png

FRAME, PAPER = (176, 176, 176), (255, 255, 255)


def drawn(figure: object) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


def checkerboards(number: int, side: int) -> np.ndarray:
    board = (np.indices((side, side)).sum(axis=0) % 2 * 200 + 20).astype(np.uint8)
    return np.repeat(board[None, ..., None], number, axis=0)


def test_small_images_are_enlarged_without_blur() -> None:
    picture = drawn(image_rows({"": checkerboards(2, 4)}))
    colours = {tuple(each) for each in picture.reshape(-1, 3)}
    assert colours == {(20, 20, 20), (220, 220, 220), FRAME, PAPER}


def test_every_pixel_is_enlarged_by_the_same_whole_number() -> None:
    picture = drawn(image_rows({"": checkerboards(1, 4)}))
    assert (picture == 20).all(axis=-1).sum() == (picture == 220).all(axis=-1).sum()
    assert (picture == 20).all(axis=-1).sum() % 8 == 0


def test_a_white_image_stands_out_from_the_paper() -> None:
    picture = drawn(image_rows({"": np.full((1, 4, 4, 1), 255, np.uint8)}))
    assert (picture == FRAME).all(axis=-1).any()


def test_large_images_are_reduced_to_fit() -> None:
    assert drawn(image_rows({"photographs": checkerboards(10, 300)})).shape[1] < 2000


def test_colours_are_kept() -> None:
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert (drawn(image_sheets({"red": red})) == (255, 0, 0)).all(axis=-1).any()


def test_every_row_and_every_image_has_its_label() -> None:
    figure = image_rows({"first": checkerboards(2, 8), "second": checkerboards(1, 8)}, labels={"first": ["1.2", "3.4"]})
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [["first", "1.2", "3.4"], ["second"]]


def test_sheets_of_different_sizes_stand_one_below_the_other() -> None:
    figure = image_sheets({"four": checkerboards(4, 8), "one": checkerboards(1, 8), "x": checkerboards(40, 8)})
    boxes = [axes.get_position() for axes in figure.axes]
    np.testing.assert_allclose([box.x0 for box in boxes], boxes[0].x0)
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("images", [{}, {"none": checkerboards(0, 8)}])
def test_nothing_to_show_is_refused(images: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="no images to show"):
        image_sheets(images)


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert png(image_sheets({"a": checkerboards(4, 8)})) == png(image_sheets({"a": checkerboards(4, 8)}))
