"""A trained model as a TensorFlow SavedModel, which runs where this package is not installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from flow_models.data.atomic import complete_folder
from flow_models.model import FlowModel

Named = dict[str, tf.Tensor]


class Serving(tf.Module):
    """The functions of a model that others call; those of a conditional model take its ``context`` as well.

    Args:
        model: trained.
    """

    def __init__(self, model: FlowModel) -> None:
        super().__init__(name="serving")
        self._model = model
        self._log_prob = self._function(self._log_prob_of, self._rows("x", model.event_shape))
        self._encode = self._function(self._latents_of, self._rows("x", model.event_shape))
        self._decode = self._function(self._data_of, self._rows("z", (model.dimensions,)))
        scalars = {"number": tf.int32, "seed": tf.int32, "temperature": model.dtype}
        self.sample = self._function(self._draw, *(tf.TensorSpec([], dtype, name) for name, dtype in scalars.items()))

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Those of the SavedModel."""
        functions = (self._log_prob, self._encode, self._decode, self.sample)
        return dict(zip(("log_prob", "encode", "decode", "sample"), functions, strict=True))

    def _rows(self, name: str, shape: tuple[int, ...]) -> tf.TensorSpec:
        return tf.TensorSpec([None, *shape], self._model.dtype, name)

    def _function(self, python: Callable[..., Named], *inputs: tf.TensorSpec) -> Callable[..., Named]:
        width = self._model.bijector.context_width
        context = [] if width is None else [self._rows("context", (width,))]
        return tf.function(python, input_signature=[*inputs, *context])

    def _log_prob_of(self, x: tf.Tensor, *context: tf.Tensor) -> Named:
        """The log-density in nats, ``[batch]``."""
        return {"log_prob": self._model.log_prob(x, *context)}

    def _latents_of(self, x: tf.Tensor, *context: tf.Tensor) -> Named:
        """``[batch, elements]``."""
        return {"z": self._model.encode(x, *context)}

    def _data_of(self, z: tf.Tensor, *context: tf.Tensor) -> Named:
        """``[batch, *event_shape]``."""
        return {"x": self._model.decode(z, *context)}

    def _draw(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, *context: tf.Tensor) -> Named:
        """``number`` draws, the same for the same seed; with a row of context for each, or one row for all."""
        given = dict(zip(("context",), context, strict=False))
        return {"x": self._model.sample(number, seed=seed, temperature=temperature, **given)}


class ImageServing(Serving):
    """The functions of a model of images.

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
        self.score = tf.function(self._score, input_signature=[images])

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Those of the SavedModel, ``score`` among them."""
        return {"score": self.score, **super().signatures}

    def _score(self, images: tf.Tensor) -> Named:
        """Log-likelihood in nats, bits per dimension and typicality of uint8 images, each ``[batch]``."""
        log_prob = tf.cast(self._model.log_prob(tf.cast(images, self._model.dtype) + self._noise), tf.float64)
        return {
            "log_prob": log_prob,
            "bits_per_dim": -log_prob / (self._model.dimensions * math.log(2)),
            "typicality": tf.abs(self._expected - log_prob),
        }

    def _draw(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, *context: tf.Tensor) -> Named:
        """``number`` uint8 images, the same for the same seed."""
        x = super()._draw(number, seed, temperature, *context)["x"]
        return {"images": tf.cast(tf.clip_by_value(tf.floor(x), 0, 255), tf.uint8)}


def export(serving: Serving, folder: Path) -> None:
    """Write the SavedModel with the functions as its signatures, replacing the folder when it is whole."""
    with complete_folder(folder) as unfinished:
        tf.saved_model.save(serving, str(unfinished), signatures=serving.signatures)
