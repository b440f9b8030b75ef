"""Images of the prepared shards, scored by a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flow_models.data.pipeline import Split, load_split
from flow_models.data.shards import read_index
from flow_models.errors import FlowModelsError
from flow_models.evaluation import outliers
from flow_models.evaluation.likelihood import dequantise
from flow_models.settings import SHARDS, Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

SCORES = ("likelihood", "typicality", "input_complexity", "compressor")
# A standard error needs two images, a plane through their latents three.
_FEWEST_IMAGES = 3


@dataclass(frozen=True)
class ScoredSet:
    """Images of one kind, their log-density in nats ``(n,)``, and their outlier scores ``(n,)`` by name."""

    images: Split
    log_prob: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class ScoredImages:
    """The three kinds of images: held-out training images, inliers of val/, outliers of val/ by class."""

    holdout: ScoredSet
    inliers: ScoredSet
    outliers: Mapping[str, ScoredSet]

    def named(self) -> dict[str, ScoredSet]:
        """Inliers and outliers by the name of the set."""
        return {"inliers": self.inliers, **self.outliers}


def score_images(settings: Settings, model: FlowModel) -> ScoredImages:
    """Score the held-out and validation images in the prepared shards.

    Raises:
        FlowModelsError: if the shards have another shape than the model, too few inliers, or
            images on which the model has no finite density.
    """
    index = read_index(SHARDS)
    if tuple(index.shape) != tuple(model.event_shape):
        raise FlowModelsError(
            f"{SHARDS}: images are {tuple(index.shape)}, but the model was trained on {tuple(model.event_shape)}; "
            "train it anew"
        )
    holdout, val = load_split(SHARDS, "holdout"), load_split(SHARDS, "val")
    inliers = select(val, np.isin(val.classes, index.inliers))
    for name, images in (("the held-out share of train/", holdout), ("the inlier classes of val/", inliers)):
        if len(images.images) < _FEWEST_IMAGES:
            raise FlowModelsError(
                f"{name}: {len(images.images)} images, evaluation needs at least {_FEWEST_IMAGES}; add some"
            )
    reference = log_density(settings, model, holdout, name="holdout")
    others = sorted(set(val.classes.tolist()) - set(index.inliers))
    sets = {"inliers": inliers, **{name: select(val, val.classes == name) for name in others}}
    scored = {
        name: _scored(images, log_density(settings, model, images, name=name), reference)
        for name, images in sets.items()
    }
    return ScoredImages(_scored(holdout, reference, reference), scored.pop("inliers"), scored)


def select(images: Split, which: NDArray[Any]) -> Split:
    """The images under a mask or at some positions."""
    return Split(images=images.images[which], classes=images.classes[which], keys=images.keys[which])


def log_density(settings: Settings, model: FlowModel, images: Split, *, name: str) -> NDArray[np.float64]:
    """Log-density of each image in nats, ``(n,)``, in batches of ``evaluate.batch_size``."""
    size, count = settings.evaluate.batch_size, len(images.images)
    values = np.empty(count)
    for start in tqdm(range(0, count, size), desc=f"score {name}", unit="batch", disable=None, leave=False):
        batch = dequantise(images.images[start : start + size], seed=settings.seed)
        values[start : start + size] = np.asarray(model.marginal_log_prob(batch))
    if not np.isfinite(values).all():
        bad = images.keys[~np.isfinite(values)]
        raise FlowModelsError(
            f"{bad[0]}: the model has no finite density here ({len(bad)} of {count} images of {name}); "
            "train it anew with a smaller train.learning_rate"
        )
    return values


def _scored(images: Split, log_prob: NDArray[np.float64], reference: NDArray[np.float64]) -> ScoredSet:
    compressor = outliers.compressed_bits(images.images)
    return ScoredSet(
        images=images,
        log_prob=log_prob,
        scores={
            "likelihood": outliers.negative_log_likelihood(log_prob),
            "typicality": outliers.typicality(log_prob, reference_log_prob=reference),
            "input_complexity": outliers.input_complexity(log_prob, compressor_bits=compressor),
            "compressor": compressor,
        },
    )
