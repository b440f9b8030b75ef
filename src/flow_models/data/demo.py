"""The embedded data: handwritten digits, and two sets of outliers, from what scikit-learn ships."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from flow_models.data.atomic import complete_folder
from flow_models.data.png import encode_png
from flow_models.errors import FlowModelsError

SIDE = 8
LEVELS = 16  # the digits' grey values are 0 to 16
PHOTOGRAPHS = ("china", "flower")
REDUCTION = 4
PATCHES = 360
VAL_EVERY = 5

Pixels = NDArray[np.uint8]
Pictures = dict[str, Pixels]


def write_demo(folder: Path) -> int:
    """Write the demonstration images, byte for byte the same everywhere.

    - ``train/digit0`` … ``digit9``: four fifths of scikit-learn's 8x8 digits, as they come.
    - ``val/digit0`` … ``digit9``: every fifth digit of each class.
    - ``val/photograph``: patches of its two photographs, in the digits' 17 grey levels, so that
      the number of levels gives nothing away.
    - ``val/jigsaw``: the digits of ``val/`` with upper and lower quadrants exchanged. The hard
      set: the same pixels and strokes in the same columns, only the whole is wrong.

    No image occurs twice. A folder that already holds these images is completed, or left alone.

    Returns:
        The number of images.

    Raises:
        FlowModelsError: if the folder holds anything else; nothing is touched then.
    """
    images = {path: encode_png(pixels) for path, pixels in _pictures().items()}
    present = _present(folder)
    for path, content in present.items():
        if images.get(path) != content:
            raise FlowModelsError(
                f"{folder}/{path}: not part of the demonstration data, so nothing is written; name an empty folder"
            )
    if len(present) < len(images):
        with complete_folder(folder) as unfinished:
            for path, content in images.items():
                target = unfinished / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    return len(images)


def _present(folder: Path) -> dict[str, bytes]:
    if folder.exists() and not folder.is_dir():
        raise FlowModelsError(f"{folder}: not a folder; name another one")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _pictures() -> Pictures:
    """Every image by its path below the folder."""
    digits = _digits()
    held_out = {path: pixels for path, pixels in digits.items() if path.startswith("val/")}
    pictures: Pictures = {}
    seen: set[bytes] = set()
    for path, pixels in (digits | _jigsaws(held_out) | _patches()).items():
        if pixels.tobytes() not in seen:
            pictures[path] = pixels
            seen.add(pixels.tobytes())
    return pictures


def _digits() -> Pictures:
    bunch = load_digits()
    digits: Pictures = {}
    count = dict.fromkeys(range(10), 0)
    for image, label in zip(bunch.images.astype(np.int64), bunch.target.tolist(), strict=True):
        split = "val" if count[label] % VAL_EVERY == VAL_EVERY - 1 else "train"
        digits[f"{split}/digit{label}/{count[label]:04d}.png"] = _grey(image)
        count[label] += 1
    return digits


def _jigsaws(digits: Pictures) -> Pictures:
    """Each digit with its upper and lower quadrants exchanged: the left ones, the right ones or both."""
    half = SIDE // 2
    jigsaws: Pictures = {}
    for path, pixels in digits.items():
        a, b, c, d = (pixels[y : y + half, x : x + half] for y in (0, half) for x in (0, half))
        # Moving ink sideways, into the columns that every digit leaves empty, would be easy to notice.
        wrong = ([[c, b], [a, d]], [[a, d], [c, b]], [[c, d], [a, b]])[_choice(path) % 3]
        jigsaws["val/jigsaw/" + path.removeprefix("val/").replace("/", "-")] = np.block(wrong)
    return jigsaws


def _patches() -> Pictures:
    """8x8 patches of the photographs, reduced, without those of one single grey."""
    patches: Pictures = {}
    for name in PHOTOGRAPHS:
        photograph = _reduced(_luma(name))
        for y in range(0, photograph.shape[0] - SIDE + 1, SIDE):
            for x in range(0, photograph.shape[1] - SIDE + 1, SIDE):
                patch = photograph[y : y + SIDE, x : x + SIDE]
                if patch.min() != patch.max():
                    patches[f"val/photograph/{name}-{y:03d}-{x:03d}.png"] = _grey(patch)
    return {path: patches[path] for path in sorted(sorted(patches, key=_choice)[:PATCHES])}


def _luma(name: str) -> NDArray[np.int64]:
    """A photograph in grey, 0 to 255."""
    with (files("sklearn.datasets.images") / f"{name}.jpg").open("rb") as file, Image.open(file) as image:
        # The JPEG's own luma plane: without colour conversion, decoders agree to the bit.
        image.draft("L", image.size)
        return np.asarray(image.convert("L"), np.int64)


def _reduced(photograph: NDArray[np.int64]) -> NDArray[np.int64]:
    """Blocks of REDUCTION x REDUCTION pixels averaged and rounded to the grey levels of the digits."""
    height, width = (side // REDUCTION for side in photograph.shape)
    blocks = photograph[: height * REDUCTION, : width * REDUCTION].reshape(height, REDUCTION, width, REDUCTION)
    whitest = 255 * REDUCTION * REDUCTION
    levels: NDArray[np.int64] = (2 * LEVELS * blocks.sum(axis=(1, 3)) + whitest) // (2 * whitest)
    return levels


def _grey(levels: NDArray[np.int64]) -> Pixels:
    return (levels * 255 // LEVELS).astype(np.uint8)


def _choice(path: str) -> int:
    """A number that looks random and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big")
