"""Small image folders for the tests of data and validation."""

from pathlib import Path

import numpy as np

from flow_models.data.png import encode_png

CLASSES = {"train/cat": 12, "train/dog": 12, "val/cat": 4, "val/dog": 4, "val/ball": 4}


def write_images(folder: Path, classes: dict[str, int] = CLASSES, *, side: int = 8) -> Path:
    """Different random images, as many in each class folder as said."""
    random = np.random.default_rng(0)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (side, side), np.uint8)
            (folder / name / f"{number:03d}.png").write_bytes(encode_png(pixels))
    return folder
