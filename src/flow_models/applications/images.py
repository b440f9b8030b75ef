"""What the applications with images have in common: shards, a Glow, and what is served of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow_models.applications.base import Blueprint, Digests, Lesson, Served, one_hot
from flow_models.applications.image_scores import fit_outlier_score, held_out
from flow_models.data.lanes import WHOLE, steps_per_epoch
from flow_models.data.manifest import manifest_digest, read_manifest
from flow_models.data.pipeline import Split, load_split, training_batches
from flow_models.data.shards import Index, read_index
from flow_models.errors import FlowModelsError
from flow_models.evaluation.frozen import FrozenSet
from flow_models.evaluation.likelihood import dequantise
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.settings import MANIFEST, SHARDS, Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel


class ImageApplication:
    """One use of a flow of images; a subclass says how good a model is at it, and whether it learns the classes."""

    name: str

    def learn(self, settings: Settings) -> Lesson:
        """The model at its start, and what it learns from.

        Raises:
            FlowModelsError: if the shards are missing or of another shape.
        """
        from flow_models import training

        index = read_index(SHARDS)
        if index.shape != settings.data.shape:
            raise FlowModelsError(
                f"{SHARDS}: images are {index.shape}, but data in params.yaml says {settings.data.shape}; "
                "prepare them anew"
            )
        size, seed, augmentation = settings.train.batch_size, settings.seed, settings.data.augmentation
        (holdout, _), latent = held_out(settings), self.latent(settings, index)
        classes: Sequence[str] = latent.get("about", {}).get("classes", ())
        data = training.TrainingData(
            batches=lambda epoch, skip, share=WHOLE: training_batches(
                SHARDS,
                batch_size=size,
                seed=seed,
                epoch=epoch,
                skip=skip,
                share=share,
                classes=classes,
                augmentation=augmentation,
            ),
            steps_per_epoch=steps_per_epoch(index.splits["train"].files, size),
            holdout=(holdout.images, one_hot(class_numbers(holdout, classes), len(classes)))
            if classes
            else holdout.images,
        )
        return Lesson(blueprint(settings, index, **latent), data, index.digest, finish=partial(_finish, settings))

    def latent(self, settings: Settings, index: Index) -> dict[str, Any]:
        """The model's ``base`` and ``about``, where they are not the default.

        The ``classes`` of ``about`` are the class folders that the model learns to tell apart.
        """
        del settings, index
        return {}

    def serve(self, settings: Settings, model: FlowModel) -> Served:
        """Scores with their p-values, and samples."""
        from flow_models.saved_model import ImageServing

        serving = ImageServing(model, OutlierScore.load(settings.model_folder))
        return Served(serving, example=load_split(SHARDS, "holdout").images[:2])

    def frozen(self, settings: Settings, model: FlowModel) -> FrozenSet:
        """The inliers of val/, with the noise that evaluation uses.

        Raises:
            FlowModelsError: if the shards are missing.
        """
        val, inliers = load_split(SHARDS, "val"), read_index(SHARDS).inliers
        normal = np.isin(val.classes, inliers)
        noise = dequantise(np.zeros((1, *model.event_shape), np.uint8), seed=settings.seed)[0]
        return FrozenSet(
            x=val.images[normal], noise=noise, keys=val.keys[normal], batch_size=settings.evaluate.batch_size
        )

    def digests(self, settings: Settings) -> Digests:
        """What the model was made from."""
        return Digests(
            source=settings.data.source,
            data=manifest_digest(read_manifest(MANIFEST)),
            prepared=read_index(SHARDS).digest,
        )


def _finish(settings: Settings, model: FlowModel, folder: Path) -> None:
    fit_outlier_score(settings, model).save(folder)


def class_numbers(images: Split, classes: Sequence[str]) -> NDArray[np.int64]:
    """The place of each image's class folder in ``classes``, ``(n,)``.

    Raises:
        FlowModelsError: if an image is of none of them.
    """
    places = {name: number for number, name in enumerate(classes)}
    try:
        return np.array([places[name] for name in images.classes], np.int64)
    except KeyError as error:
        raise FlowModelsError(f"class {error}: not one of {', '.join(classes)}; prepare the images anew") from None


def blueprint(settings: Settings, index: Index, **latent: Any) -> Blueprint:
    """A flow of the prepared images at its start.

    Raises:
        FlowModelsError: if the architecture is not one for images.
    """
    if settings.model.architecture != "glow":
        raise FlowModelsError(f"model.architecture: {settings.model.architecture} is for vectors; images take glow")
    sizes = settings.model.model_dump(exclude={"architecture"})
    return Blueprint(
        architecture=settings.model.architecture,
        options={**sizes, "image_shape": index.shape, "seed": settings.seed},
        **latent,
    )
