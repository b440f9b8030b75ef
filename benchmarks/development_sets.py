"""Images on which the default outlier score was chosen: from what scikit-learn ships, and drawn shapes.

None of them is one of the pairs that the score is judged by.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits, load_sample_image

from benchmarks.outlier_sets import Images, Pair

SIDE = 16


def digits(side: int, *, limit: int, scored: int) -> Pair:
    """Handwritten digits at 8×8 or enlarged, against pieces of a photograph and shapes."""
    rng = np.random.default_rng(0)
    images = rng.permutation(_digits(side))
    kinds = {"photograph": grey(pieces("flower.jpg", scored, rng, side=side, reduction=3))}
    return Pair(images[:1447][:limit], images[1447:][:scored], kinds | _shapes(("ellipse", "rectangle"), scored, side))


def ellipses(*, limit: int, scored: int) -> Pair:
    """Ellipses against rectangles, digits and pieces of a photograph."""
    rng = np.random.default_rng(0)
    kinds = {"digits": _digits(SIDE)[:scored], "photograph": grey(pieces("flower.jpg", scored, rng, reduction=3))}
    learned, fresh = shapes("ellipse", min(limit, 4400), seed=1), shapes("ellipse", scored, seed=2)
    return Pair(learned, fresh, _shapes(("rectangle",), scored, SIDE) | kinds)


def photograph(name: str, other: str, *, limit: int, scored: int) -> Pair:
    """Pieces of one photograph against those of another, digits and shapes."""
    rng = np.random.default_rng(0)
    images = pieces(f"{name}.jpg", min(limit, 6400) + scored, rng)
    kinds = {other: pieces(f"{other}.jpg", scored, rng), "digits": _digits(SIDE)[:scored]}
    kinds |= _shapes(("ellipse",), scored, SIDE)
    coloured = {each: np.broadcast_to(own, (*own.shape[:3], 3)).copy() for each, own in kinds.items()}
    return Pair(images[scored:], images[:scored], coloured)


DEVELOPMENT: dict[str, Callable[..., Pair]] = {
    "dev-digits8": partial(digits, 8),
    "dev-digits16": partial(digits, SIDE),
    "dev-ellipses": ellipses,
    "dev-china": partial(photograph, "china", "flower"),
    "dev-flower": partial(photograph, "flower", "china"),
}


def pieces(name: str, number: int, rng: np.random.Generator, *, side: int = SIDE, reduction: int = 2) -> Images:
    """Squares anywhere in a reduced photograph, ``(number, side, side, 3)``."""
    whole = Image.fromarray(load_sample_image(name)).reduce(reduction)
    pixels = np.asarray(whole)
    down = rng.integers(0, pixels.shape[0] - side + 1, number)
    right = rng.integers(0, pixels.shape[1] - side + 1, number)
    return np.stack([pixels[y : y + side, x : x + side] for y, x in zip(down, right, strict=True)])


def shapes(kind: str, number: int, *, seed: int, side: int = SIDE) -> Images:
    """One to three filled shapes on a dark ground with a little noise, ``(number, side, side, 1)``."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([_shape(kind, rng, side) for _ in range(number)]).astype(np.float64)
    noisy = drawn + rng.normal(0, 3, drawn.shape)
    return noisy.clip(0, 255).astype(np.uint8)[..., np.newaxis]


def grey(images: Images) -> Images:
    """``(n, h, w, 3)`` as ``(n, h, w, 1)``, ITU-R 601 luma."""
    luma: NDArray[Any] = images @ np.array([0.299, 0.587, 0.114])
    return np.round(luma).astype(np.uint8)[..., np.newaxis]


def _shape(kind: str, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    image = Image.new("L", (64, 64), int(rng.integers(0, 60)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 4))):
        (x, y), (width, height) = rng.integers(5, 40, 2).tolist(), rng.integers(10, 28, 2).tolist()
        figure = draw.ellipse if kind == "ellipse" else draw.rectangle
        figure([x, y, x + width, y + height], fill=int(rng.integers(100, 255)))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def _shapes(kinds: tuple[str, ...], number: int, side: int) -> dict[str, Images]:
    return {f"{kind}s": shapes(kind, number, seed=3 + index, side=side) for index, kind in enumerate(kinds)}


def _digits(side: int) -> Images:
    small = (load_digits().images * 255 // 16).astype(np.uint8)
    if side == small.shape[1]:
        return small[..., np.newaxis]
    enlarged = [Image.fromarray(each).resize((side, side), Image.Resampling.BILINEAR) for each in small]
    return np.stack([np.asarray(each) for each in enlarged])[..., np.newaxis]
