"""Images of the prepared shards, scored by a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flow_models.data.pipeline import Split, load_split
from flow_models.data.shards import read_index
from flow_models.errors import FlowModelsError
from flow_models.evaluation.compressors import compressed_bits
from flow_models.evaluation.conformal import p_values
from flow_models.evaluation.likelihood import dequantise
from flow_models.evaluation.outlier_score import CODEC, DEFAULT, OutlierScore
from flow_models.settings import SHARDS, Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

# A standard error needs two images, a plane through their latents three.
_FEWEST_IMAGES = 3


@dataclass(frozen=True)
class ScoredSet:
    """Images of one kind, log-densities in nats, outlier scores by name, and p-values, each ``(n,)``."""

    images: Split
    log_prob: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]]
    p_values: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredImages:
    """The three kinds of images: held-out training images, inliers of val/, outliers of val/ by class.

    The held-out ones fitted and calibrated ``score``: their p-values mean nothing.
    """

    holdout: ScoredSet
    inliers: ScoredSet
    outliers: Mapping[str, ScoredSet]
    score: OutlierScore

    def named(self) -> dict[str, ScoredSet]:
        """Inliers and outliers by the name of the set."""
        return {"inliers": self.inliers, **self.outliers}


def held_out(settings: Settings) -> tuple[Split, Split]:
    """The held-out share of train/ in two halves, by a digest of seed and key.

    The first decides which weights are kept, when training stops, and what outlier scores are fitted to; the second
    calibrates their p-values, and so has a say in nothing else.

    Raises:
        FlowModelsError: if there are no shards, or too few held-out images.
    """
    images = load_split(SHARDS, "holdout")
    if len(images.images) < _FEWEST_IMAGES:
        raise FlowModelsError(
            f"the held-out share of train/: {len(images.images)} images, at least {_FEWEST_IMAGES} are needed; "
            "add images, or raise data.holdout"
        )
    keys: list[str] = images.keys.tolist()
    order = sorted(range(len(keys)), key=lambda place: _digest(settings.seed, keys[place]))
    fitting = np.isin(np.arange(len(order)), order[: (len(order) + 1) // 2])
    return select(images, fitting), select(images, ~fitting)


def fit_outlier_score(settings: Settings, model: FlowModel) -> OutlierScore:
    """Fit the scores to one half of the held-out images, and calibrate the p-values with the other.

    Raises:
        FlowModelsError: if there are too few, or the model has no finite density on one.
    """
    fitting, calibrating = (
        _examined(settings, model, images, name=name)
        for images, name in zip(held_out(settings), ("fit", "calibrate"), strict=True)
    )
    return OutlierScore.fit(fitting, calibrating, noise_seed=settings.seed)


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
    score = OutlierScore.load(settings.model_folder)
    holdout, val = load_split(SHARDS, "holdout"), load_split(SHARDS, "val")
    inliers = select(val, np.isin(val.classes, index.inliers))
    for name, images in (("the held-out share of train/", holdout), ("the inlier classes of val/", inliers)):
        if len(images.images) < _FEWEST_IMAGES:
            raise FlowModelsError(
                f"{name}: {len(images.images)} images, evaluation needs at least {_FEWEST_IMAGES}; add some"
            )
    others = sorted(set(val.classes.tolist()) - set(index.inliers))
    sets = {"holdout": holdout, "inliers": inliers, **{name: select(val, val.classes == name) for name in others}}
    scored = {name: _scored(settings, model, score, images, name=name) for name, images in sets.items()}
    return ScoredImages(scored.pop("holdout"), scored.pop("inliers"), scored, score)


def select(images: Split, which: NDArray[Any]) -> Split:
    """The images under a mask or at some positions."""
    return Split(images=images.images[which], classes=images.classes[which], keys=images.keys[which])


def examine(model: FlowModel, images: NDArray[np.uint8], *, noise_seed: int) -> dict[str, NDArray[np.float64]]:
    """What ``OutlierScore`` takes of a batch of images ``(n, h, w, c)``, each ``(n,)``.

    An image's statistics depend on that image alone.
    """
    values = np.asarray(model.statistics(dequantise(images, seed=noise_seed)), np.float64)
    bits = compressed_bits(images, codec=CODEC)
    return {**dict(zip(model.statistic_names, values.T, strict=True)), "compressor_bits": bits}


def examine_all(
    model: FlowModel, images: NDArray[np.uint8], *, noise_seed: int, batch_size: int, title: str
) -> dict[str, NDArray[np.float64]]:
    """``examine`` of many images, ``batch_size`` at a time, with a bar of that title."""
    starts = tqdm(range(0, len(images), batch_size), desc=title, unit="batch", disable=None, leave=False)
    batches = [examine(model, images[at : at + batch_size], noise_seed=noise_seed) for at in starts]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _examined(settings: Settings, model: FlowModel, images: Split, *, name: str) -> dict[str, NDArray[np.float64]]:
    """``examine_all`` of images of the shards, refusing those without a finite density."""
    size, count = settings.evaluate.batch_size, len(images.images)
    values = examine_all(model, images.images, noise_seed=settings.seed, batch_size=size, title=f"score {name}")
    finite = np.isfinite(values["log_prob"])
    if not finite.all():
        raise FlowModelsError(
            f"{images.keys[~finite][0]}: the model has no finite density here "
            f"({np.count_nonzero(~finite)} of {count} images of {name}); "
            "train it anew with a smaller train.learning_rate"
        )
    return values


def _scored(settings: Settings, model: FlowModel, score: OutlierScore, images: Split, *, name: str) -> ScoredSet:
    statistics = _examined(settings, model, images, name=name)
    scores = score.scores(statistics)
    return ScoredSet(images, statistics["log_prob"], scores, p_values(score.calibration, scores[DEFAULT]))


def _digest(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}:half".encode()).digest()
