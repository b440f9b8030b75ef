"""By what recent images are compared with those of a training: their files, and how the flow sees them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.applications.image_scores import examine_all
from flow_models.evaluation.likelihood import bits_per_dim, dequantise

if TYPE_CHECKING:
    from flow_models.evaluation.outlier_score import OutlierScore
    from flow_models.model import FlowModel

Statistics = dict[str, NDArray[np.float64]]

OF_FILES = {"brightness": "mean", "contrast": "std", "width": "width", "height": "height", "bytes": "bytes"}


def file_statistics(rows: pd.DataFrame) -> Statistics:
    """The numbers of a manifest's rows by name, each ``(n,)``; NaN where a file could not be read."""
    return {name: rows[column].to_numpy(np.float64, na_value=np.nan) for name, column in OF_FILES.items()}


def flow_statistics(model: FlowModel, images: NDArray[np.uint8], *, seed: int, batch_size: int) -> Statistics:
    """How a flow sees images: their likelihood, and how far and how unevenly they lie from the latent centre.

    Args:
        model: of images, without a context.
        images: ``(n, h, w, c)``.
        seed: of the noise that dequantises them, the same field for each.
        batch_size: images at a time.

    Returns:
        Each ``(n,)``: ``bits_per_dim``; ``latent_energy``, the mean of z² over the dimensions; ``latent_extreme``, the
        largest ``|z|``. The last two are 1 and about 3 where the flow is right.
    """
    bits, energy, extreme = [], [], []
    for start in range(0, len(images), batch_size):
        x = dequantise(images[start : start + batch_size], seed=seed)
        z = np.asarray(model.encode(x), np.float64).reshape(len(x), -1)
        bits.append(bits_per_dim(np.asarray(model.marginal_log_prob(x)), z.shape[1]))
        energy.append((z**2).mean(axis=1))
        extreme.append(np.abs(z).max(axis=1))
    return {
        name: np.concatenate([np.zeros(0), *parts])
        for name, parts in {"bits_per_dim": bits, "latent_energy": energy, "latent_extreme": extreme}.items()
    }


def outlier_p_values(
    model: FlowModel, score: OutlierScore, images: NDArray[np.uint8], *, batch_size: int
) -> NDArray[np.float64]:
    """How odd the model's own outlier score finds each image among the inliers that calibrated it, ``(n,)``."""
    seen = examine_all(model, images, noise_seed=score.noise_seed, batch_size=batch_size, title="score recent images")
    return score.p_values(seen)


def some_of(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """At most ``number`` rows of a manifest, in an order that has nothing to do with names or classes."""
    # Hashed once more: a sha256 is no secret, and who adds images could choose them by it.
    order = rows["sha256"].map(lambda sha256: hashlib.sha256(f"drift:{sha256}".encode()).hexdigest())
    return rows.loc[order.sort_values().index[:number]]
