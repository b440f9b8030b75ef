"""Images to learn, and sets that are none of them: other data, and controls made of the inliers themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from flow_models.data.images import decode

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """What is learned, fresh inliers, and outliers by name, ``(n, height, width, channels)``."""

    train: Images
    inliers: Images
    outliers: dict[str, Images]


def cats(data: Path, side: int, *, limit: int, scored: int) -> Pair:
    """Cat faces against beach balls."""
    folder = data / "animal-faces"
    return Pair(
        train=_folder(folder / "train/cat", side, limit),
        inliers=_folder(folder / "val/cat", side, scored),
        outliers={"beach balls": _folder(folder / "val/beachball", side, scored)},
    )


def archives(data: Path, own: str, other: str, *, limit: int, scored: int) -> Pair:
    """One archive's digits or clothes against the other's, 28×28."""
    mine, theirs = (np.load(data / f"{name}.npz", allow_pickle=False) for name in (own, other))
    # Sorted by no class, but by no one's promise either.
    order = np.random.default_rng(0).permutation(len(mine["x_train"]))[:limit]
    return Pair(
        train=mine["x_train"][order][..., np.newaxis],
        inliers=mine["x_test"][:scored, ..., np.newaxis],
        outliers={other: theirs["x_test"][:scored, ..., np.newaxis]},
    )


PAIRS: dict[str, Callable[..., Pair]] = {
    "cats32": lambda data, **limits: cats(data, 32, **limits),
    "cats64": lambda data, **limits: cats(data, 64, **limits),
    "fashion_mnist": lambda data, **limits: archives(data, "fashion_mnist", "mnist", **limits),
    "mnist": lambda data, **limits: archives(data, "mnist", "fashion_mnist", **limits),
}


def controls(inliers: Images, *, seed: int = 0) -> dict[str, Images]:
    """What is made of inliers and is none: each control defeats some score.

    Upside down and mirrored images have the same pixels and compress alike; shuffled patches keep all short distances;
    blurred and constant images are likelier than inliers are; noise is incompressible.
    """
    rng = np.random.default_rng(seed)
    blurred = gaussian_filter(inliers.astype(np.float32), (0, 1, 1, 0))
    grey = rng.integers(0, 256, (len(inliers), 1, 1, inliers.shape[-1]))
    return {
        "upside down": np.ascontiguousarray(inliers[:, ::-1]),
        "mirrored": np.ascontiguousarray(inliers[:, :, ::-1]),
        "patches shuffled": shuffle_patches(inliers, rng),
        "blurred": np.round(blurred).clip(0, 255).astype(np.uint8),
        "constant": np.broadcast_to(grey, inliers.shape).astype(np.uint8),
        "noise": rng.integers(0, 256, inliers.shape).astype(np.uint8),
    }


def shuffle_patches(images: Images, rng: np.random.Generator) -> Images:
    """Sixteen patches of each image in another order; never in their own."""
    number, height, width, channels = images.shape
    high, wide = height // 4, width // 4
    patches = images.reshape(number, 4, high, 4, wide, channels).swapaxes(2, 3).reshape(number, 16, -1)
    own = np.arange(16)
    orders = []
    while len(orders) < number:
        order = rng.permutation(16)
        if (order != own).any():
            orders.append(order)
    shuffled = np.take_along_axis(patches, np.array(orders)[..., np.newaxis], axis=1)
    return np.ascontiguousarray(
        shuffled.reshape(number, 4, 4, high, wide, channels).swapaxes(2, 3).reshape(images.shape)
    )


def _folder(folder: Path, side: int, limit: int) -> Images:
    paths = sorted(folder.iterdir())
    # As many as are wanted, from all over the folder.
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(limit, len(paths))).astype(int))
    return np.stack([decode(paths[place].read_bytes(), (side, side, 3)) for place in chosen])
