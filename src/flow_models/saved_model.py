"""A trained model as a TensorFlow SavedModel, which runs where this package is not installed."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flow_models.data.atomic import complete_folder
from flow_models.model import FlowModel


class Serving(tf.Module):
    """Functions of a model that others call.

    Attributes:
        functions: compiled, by the name under which the SavedModel has them.
    """

    functions: dict[str, Any]


def class_probabilities(model: FlowModel, joint: tf.Tensor) -> dict[str, tf.Tensor]:
    """``p(c | x)`` of each class, ``(n,)``, as ``p_<class>``, from ``joint_log_prob``."""
    probabilities = tf.nn.softmax(joint)
    names = [re.sub(r"\W+", "_", f"p_{name}") for name in model.about["classes"]]
    return {name: probabilities[:, index] for index, name in enumerate(names)}


class ImageServing(Serving):
    """The functions of a model of images that others call.

    Args:
        model: trained.
        noise: of dequantisation, ``event_shape``, in [0, 1): one field for every image, so that an
            image's score depends on that image alone.
        expected_log_prob: the mean log-likelihood of inliers, in nats; typicality is the distance from it.
    """

    def __init__(self, model: FlowModel, *, noise: np.ndarray, expected_log_prob: float) -> None:
        super().__init__(name="image_serving")
        self._model = model
        self._noise = tf.constant(noise, model.dtype)
        self._expected = tf.constant(expected_log_prob, tf.float64)
        images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
        scalars = [tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.int32, model.dtype)]
        self.functions = {
            "score": tf.function(self._score, input_signature=[images]),
            "sample": tf.function(self._sample, input_signature=scalars),
        }

    def _score(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
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

    def _sample(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        """``number`` uint8 images, the same for the same seed; the classes in turn, where there are classes."""
        classes = self._model.classes
        context = None if classes is None else tf.one_hot(tf.range(number) % classes, classes)
        x = self._model.sample(number, context=context, seed=seed, temperature=temperature)
        return {"images": tf.cast(tf.clip_by_value(tf.floor(x), 0, 255), tf.uint8)}


def export(serving: Serving, folder: Path) -> None:
    """Write the SavedModel with its signatures, replacing the folder when it is whole."""
    with complete_folder(folder) as unfinished:
        tf.saved_model.save(serving, str(unfinished), signatures=dict(serving.functions))
