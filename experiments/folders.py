"""Images in arrays, as MNIST and its like come, into the folders that the pipeline reads.

    python -m experiments.folders mnist.npz --outliers fashion_mnist.npz --into FOLDER

An archive has ``x_train``, ``x_test``, uint8 ``(n, height, width)``, and ``y_train``, ``y_test``, class numbers. Each
class becomes ``train/<class>/`` and ``val/<class>/``; the test images of the others, ``val/<archive>/``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from flow_models.data.atomic import complete_folder

SPLITS = {"train": "train", "test": "val"}


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="of the images to learn")
    parser.add_argument(
        "--outliers", type=Path, action="append", default=[], help="an archive whose test images are none"
    )
    parser.add_argument("--into", type=Path, required=True, help="replaced when all is written")
    arguments = parser.parse_args()
    with complete_folder(arguments.into) as folder:
        archive = np.load(arguments.archive, allow_pickle=False)
        for split, place in SPLITS.items():
            images, classes = archive[f"x_{split}"], archive[f"y_{split}"]
            for number in np.unique(classes):
                _write(folder / place / str(number), images[classes == number])
        for path in arguments.outliers:
            _write(folder / "val" / path.stem, np.load(path, allow_pickle=False)["x_test"])


def _write(folder: Path, images: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for index, image in enumerate(tqdm(images, desc="/".join(folder.parts[-2:]), disable=None, leave=False)):
        Image.fromarray(image).save(folder / f"{index:05d}.png")


if __name__ == "__main__":
    main()
