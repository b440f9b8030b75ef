"""A trained model as a TensorFlow SavedModel, which runs where this package is not installed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from flow_models.data.atomic import complete_folder
from flow_models.model import FlowModel

Named = dict[str, tf.Tensor]
_SCALARS = {"number": tf.int32, "seed": tf.int32, "temperature": tf.float32}


class Serving(tf.Module):
    """The functions of a model that others call; those of a conditional model take its ``context`` as well.

    Args:
        model: trained.

    Attributes:
        functions: compiled, by the name of the SavedModel's signature: ``log_prob``, ``encode``, ``decode``,
            ``sample``.
    """

    def __init__(self, model: FlowModel) -> None:
        super().__init__(name="serving")
        self._model = model
        x, z = self._rows("x", model.event_shape), self._rows("z", (model.dimensions,))
        known, read = self._context(model.context_width), self._context(model.bijector.context_width)
        self.functions: dict[str, Callable[..., Named]] = {
            "log_prob": tf.function(self._log_prob, input_signature=[x, *known]),
            "encode": tf.function(self._encode, input_signature=[x, *read]),
            "decode": tf.function(self._decode, input_signature=[z, *read]),
            "sample": tf.function(self._sample, input_signature=[*scalars(), *known]),
        }

    def _rows(self, name: str, shape: tuple[int, ...]) -> tf.TensorSpec:
        return tf.TensorSpec([None, *shape], self._model.dtype, name)

    def _context(self, width: int | None) -> list[tf.TensorSpec]:
        return [] if width is None else [self._rows("context", (width,))]

    def _log_prob(self, x: tf.Tensor, *context: tf.Tensor) -> Named:
        """The log-density in nats, ``[batch]``."""
        return {"log_prob": self._model.log_prob(x, *context)}

    def _encode(self, x: tf.Tensor, *context: tf.Tensor) -> Named:
        """``[batch, elements]``."""
        return {"z": self._model.encode(x, *context)}

    def _decode(self, z: tf.Tensor, *context: tf.Tensor) -> Named:
        """``[batch, *event_shape]``."""
        return {"x": self._model.decode(z, *context)}

    def _sample(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, *context: tf.Tensor) -> Named:
        """``number`` draws, the same for the same seed; with a row of context for each, or one row for all."""
        given = dict(zip(("context",), context, strict=False))
        return {"x": self._model.sample(number, seed=seed, temperature=temperature, **given)}


class ImageServing(Serving):
    """The functions of a model of images: ``score`` beside the others, and ``sample`` gives ``images``.

    Args:
        model: trained.
        noise: of dequantisation, ``event_shape``, in [0, 1): one field for every image, so that an
            image's score depends on that image alone.
        expected_log_prob: the mean log-likelihood of inliers, in nats; typicality is the distance from it.
    """

    def __init__(self, model: FlowModel, *, noise: np.ndarray, expected_log_prob: float) -> None:
        super().__init__(model)
        self._noise = tf.constant(noise, model.dtype)
        self._expected = tf.constant(expected_log_prob, tf.float64)
        images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
        self.functions = {
            **self.functions,
            "score": tf.function(self._score, input_signature=[images]),
            "sample": tf.function(self._images, input_signature=scalars()),
        }

    def _score(self, images: tf.Tensor) -> Named:
        """Log-likelihood in nats, bits per dimension, typicality and classes of uint8 images, each ``[batch]``."""
        x, classes = tf.cast(images, self._model.dtype) + self._noise, {}
        if self._model.classes is None:
            log_prob = tf.cast(self._model.log_prob(x), tf.float64)
        else:
            joint = tf.cast(self._model.joint_log_prob(x), tf.float64)
            log_prob, classes = tf.reduce_logsumexp(joint, axis=-1), class_probabilities(self._model, joint)
        return {
            **classes,
            "log_prob": log_prob,
            "bits_per_dim": -log_prob / (self._model.dimensions * math.log(2)),
            "typicality": tf.abs(self._expected - log_prob),
        }

    def _images(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Named:
        """``number`` uint8 images, the same for the same seed; the classes in turn, where there are classes."""
        classes = self._model.classes
        context = None if classes is None else tf.one_hot(tf.range(number) % classes, classes)
        x = self._model.sample(number, context=context, seed=seed, temperature=temperature)
        return {"images": tf.cast(tf.clip_by_value(tf.floor(x), 0, 255), tf.uint8)}


def scalars() -> list[tf.TensorSpec]:
    """What a function that draws takes: ``number``, ``seed`` and ``temperature``."""
    return [tf.TensorSpec([], dtype, name) for name, dtype in _SCALARS.items()]


def class_probabilities(model: FlowModel, joint: tf.Tensor) -> Named:
    """``p(c | x)`` of each class, ``(n,)``, as ``p_<class>``, from ``joint_log_prob``."""
    probabilities = tf.nn.softmax(joint)
    names = [re.sub(r"\W+", "_", f"p_{name}") for name in model.about["classes"]]
    return {name: probabilities[:, index] for index, name in enumerate(names)}


def export(serving: Serving, folder: Path) -> None:
    """Write the SavedModel with the functions as its signatures, replacing the folder when it is whole."""
    with complete_folder(folder) as unfinished:
        tf.saved_model.save(serving, str(unfinished), signatures=dict(serving.functions))
