"""The pictures in the report on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.applications.image_scores import ScoredImages, ScoredSet
from flow_models.evaluation.latent import linear_path, principal_plane, spherical_path
from flow_models.evaluation.likelihood import bits_per_dim, dequantise
from flow_models.evaluation.outlier_score import DEFAULT, SCORES
from flow_models.evaluation.outliers import roc_curve
from flow_models.model import to_images
from flow_models.report.charts import Curve, latent_scatter, roc_curves, score_histograms, training_history
from flow_models.report.figures import image_rows, image_sheets
from flow_models.report.gallery import Gallery, Tile
from flow_models.report.page import Picture
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

SCORE_NAMES = dict(
    zip(
        SCORES,
        (
            "likelihood",
            "typicality",
            "input complexity",
            "density of states",
            "goodness of fit",
            "combined",
            "PNG size alone",
        ),
        strict=True,
    )
)
_AXES = dict(
    zip(
        SCORES,
        (
            "negative log-likelihood (nats)",
            "typicality (nats)",
            "input complexity (bits)",
            "density of states (nats)",
            "goodness of fit of z (χ²)",
            "combined (nats)",
            "PNG size (bits)",
        ),
        strict=True,
    )
)
_OTHERS = tuple(score for score in SCORES if score != DEFAULT)
_ROW = 10
_IN_THE_GALLERY = 24
_SCATTERED = 300
_LARGE = 1e6


def roc(scored: ScoredImages, areas: Mapping[str, Mapping[str, float]]) -> Picture:
    """ROC curves of every score against every outlier set; ``areas`` by set and score."""
    curves = {
        name: {
            SCORE_NAMES[score]: Curve(*roc_curve(scored.inliers.scores[score], each.scores[score]), areas[name][score])
            for score in SCORES
        }
        for name, each in scored.outliers.items()
    }
    return Picture(
        roc_curves(curves),
        "Outliers found against false alarms",
        "The further towards the upper left, the better; the straight line is chance.",
        "ROC curves, one panel for each outlier set and one line for each score.",
    )


def histograms(scored: ScoredImages) -> Picture:
    """Every score's distribution over inliers and each outlier set."""
    return Picture(
        score_histograms(
            {_AXES[score]: {name: each.scores[score] for name, each in scored.named().items()} for score in SCORES}
        ),
        "Scores by set",
        "Each outline sums to one. The axis is centred on the inliers; what lies beyond it is counted in its "
        "outermost bin.",
        "Histograms of each score for inliers and for each outlier set.",
    )


def most_outlying(name: str, outliers: ScoredSet) -> Picture:
    """The images of an outlier set that each score finds most outlying."""
    rows, labels = {}, {}
    for score in SCORES:
        order = np.argsort(-outliers.scores[score], kind="stable")[:_ROW]
        rows[_AXES[score]] = outliers.images.images[order]
        labels[_AXES[score]] = [_short(value) for value in outliers.scores[score][order]]
    return Picture(
        image_rows(rows, labels=labels),
        f"Most outlying images of {name}",
        "By each score, the highest first, with its value beneath.",
        f"Rows of the images of {name} that score highest.",
    )


def gallery(scored: ScoredImages) -> Gallery:
    """The most outlying images of each set by the default score, with every score and the p-value."""
    tiles = []
    for name, each in scored.named().items():
        for place in np.argsort(-each.scores[DEFAULT], kind="stable")[:_IN_THE_GALLERY]:
            values = [each.scores[DEFAULT], each.p_values, *(each.scores[score] for score in _OTHERS)]
            tiles.append(
                Tile(
                    image=each.images.images[place],
                    name=str(each.images.keys[place]),
                    group=name,
                    values=[float(value[place]) for value in values],
                )
            )
    columns = {SCORE_NAMES[DEFAULT]: True, "p-value": False, **{SCORE_NAMES[score]: True for score in _OTHERS}}
    return Gallery(
        "Most outlying images",
        f"Of each set the {_IN_THE_GALLERY} images with the highest {SCORE_NAMES[DEFAULT]}, which p-values are of. "
        "Inliers with a small p-value are false alarms, or images that are worth a look.",
        columns,
        tiles,
    )


def most_and_least_likely(holdout: ScoredSet, *, dimensions: int) -> Picture:
    """The held-out images at both ends of the likelihood."""
    bits = bits_per_dim(holdout.log_prob, dimensions)
    order = np.argsort(bits, kind="stable")
    ends = {"most likely": order[:_ROW], "least likely": order[::-1][:_ROW]}
    return Picture(
        image_rows(
            {name: holdout.images.images[which] for name, which in ends.items()},
            labels={name: [f"{value:.2f}" for value in bits[which]] for name, which in ends.items()},
        ),
        "Most and least likely held-out images",
        "With their bits per dimension. Likely images are often plain ones, which need few bits.",
        "Two rows of held-out training images: the most likely and the least likely.",
    )


def training_course(history: pd.DataFrame) -> Picture:
    """Bits per dimension during training, from the columns of history.csv."""
    return Picture(
        training_history(
            epochs=history["epoch"],
            seconds=history["seconds"],
            train_bits_per_dim=history["train_bits_per_dim"],
            holdout_bits_per_dim=history["holdout_bits_per_dim"],
        ),
        "Training",
        "Held-out images take no part in training. Where their line rises, the model learns the training images by "
        "heart; the weights that are kept are those at its lowest.",
        "Bits per dimension of training and held-out images over epochs and over seconds.",
    )


def samples(settings: Settings, model: FlowModel) -> Picture:
    """Draws at each of ``evaluate.temperatures``."""
    number = settings.evaluate.samples
    sheets = {
        f"temperature {temperature:g}": to_images(model.sample(number, seed=settings.seed, temperature=temperature))
        for temperature in settings.evaluate.temperatures
    }
    return Picture(
        image_sheets(sheets),
        "Samples",
        f"{number} draws at each temperature, none selected.",
        "Sheets of generated images, one for each temperature.",
    )


def latent_plane(settings: Settings, model: FlowModel, scored: ScoredImages) -> Picture:
    """Latents of images and of samples, in the principal plane of held-out images."""
    sets = {
        "held-out images": scored.holdout.images.images,
        "samples": to_images(model.sample(_SCATTERED, seed=settings.seed)),
        **{name: each.images.images for name, each in scored.named().items()},
    }
    latents = {name: _encode(settings, model, _spread(images, _SCATTERED)) for name, images in sets.items()}
    plane = principal_plane(latents["held-out images"])
    return Picture(
        latent_scatter({name: plane.project(z) for name, z in latents.items()}, explained=plane.explained),
        "The latent plane",
        "Latents in the two directions in which those of held-out images vary most, seen from their mean. Points "
        "outside the frame are drawn on its edge.",
        "Scatter of the latents of held-out images, inliers, outliers and samples in two principal components.",
    )


def interpolation(settings: Settings, model: FlowModel, inliers: ScoredSet) -> Picture:
    """What lies between the first and the last inlier, along a line and along an arc."""
    start, end = _encode(settings, model, inliers.images.images[[0, -1]])
    rows = {
        name: to_images(model.decode(path(start, end, _ROW).astype(np.float32)))
        for name, path in (("on the straight line", linear_path), ("on the great arc", spherical_path))
    }
    return Picture(
        image_rows(rows),
        "From one image to another",
        "Two validation images and what lies between them. The straight line leads through latents that are less "
        "spread out than any image's; the great arc keeps the spread.",
        "Two rows of images that change step by step from one validation image into another.",
    )


def reconstruction(settings: Settings, model: FlowModel, scored: ScoredImages, error: float) -> Picture:
    """Images of every set, and the same after encoding and decoding; ``error`` is the largest difference."""
    rows = {}
    for name, each in scored.named().items():
        images = _spread(each.images.images, _ROW)
        rows[name] = images
        rows[f"{name}, encoded and decoded"] = to_images(model.decode(_encode(settings, model, images)))
    return Picture(
        image_rows(rows),
        "There and back",
        "The network is invertible: over one batch of inliers the largest difference is "
        f"{error:.1e} of the 256 grey levels' range.",
        "Rows of images above the same images after encoding and decoding.",
    )


def _encode(settings: Settings, model: FlowModel, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(model.encode(dequantise(images, seed=settings.seed)), np.float32)


def _spread(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """At most ``count`` images, evenly from all classes, which lie one after another."""
    return images[np.unique(np.linspace(0, len(images) - 1, count).astype(int))]


def _short(value: float) -> str:
    """At most seven characters, as a label under a small image has room for."""
    return f"{value:.0f}" if abs(value) < _LARGE else f"{value:.1e}"
