"""The pictures of a generative classifier of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from flow_models.model import to_images
from flow_models.report.charts import confusion_matrix
from flow_models.report.figures import image_rows
from flow_models.report.page import Picture
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

_ROW = 10
_TEMPERATURE = 0.8


class Judged(Protocol):
    """True classes ``(n,)`` and a classifier's probabilities ``(n, k)``."""

    @property
    def classes(self) -> Sequence[str]:
        """Names, in the order of their numbers."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(n,)``."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """``(n, k)``."""


def confusion(judged: Judged) -> Picture:
    """Which classes are taken for which."""
    predicted, classes = judged.probabilities.argmax(axis=1), np.arange(len(judged.classes))
    counts = metrics.confusion_matrix(judged.labels, predicted, labels=classes)
    return Picture(
        confusion_matrix(counts, names=judged.classes),
        "Confusions",
        "Rows are true classes, columns what the model says; mistakes lie off the diagonal.",
        "A matrix of true classes against predicted ones.",
    )


def mistakes(images: NDArray[np.uint8], judged: Judged) -> Picture:
    """The images of which the model is most sure, and wrong."""
    predicted, confidence = judged.probabilities.argmax(axis=1), judged.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != judged.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_ROW]
    names = np.asarray(judged.classes)
    labels = [f"{a} as {b}" for a, b in zip(names[judged.labels[worst]], names[predicted[worst]], strict=True)]
    return Picture(
        image_rows({"surest mistakes": images[worst]}, labels={"surest mistakes": labels}),
        "Surest mistakes",
        "The true class, and what the model took it for.",
        "A row of wrongly classified images.",
    )


def class_samples(settings: Settings, model: FlowModel) -> Picture:
    """A row of draws for each class."""
    rows = {
        name: to_images(
            model.sample(
                _ROW,
                context=np.eye(len(model.about["classes"]))[[number]],
                seed=settings.seed,
                temperature=_TEMPERATURE,
            )
        )
        for number, name in enumerate(model.about["classes"])
    }
    return Picture(
        image_rows(rows),
        "Samples by class",
        f"At temperature {_TEMPERATURE:g}; a column has one latent draw, and what changes down it is the class.",
        "One row of generated images for each class.",
    )
