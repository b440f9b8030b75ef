"""A trained model as a TensorFlow SavedModel, which runs where this package is not installed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from flow_models.data.atomic import complete_folder
from flow_models.evaluation.likelihood import dequantise
from flow_models.evaluation.outlier_score import STATES, OutlierScore
from flow_models.evaluation.tails import UpperTail
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
        score: fitted to it; its field of noise is added to every image, so that an image's score depends on that
            image alone.
    """

    def __init__(self, model: FlowModel, score: OutlierScore) -> None:
        super().__init__(model)
        noise = dequantise(np.zeros((1, *model.event_shape), np.uint8), seed=score.noise_seed)[0]
        self._noise = tf.constant(noise, model.dtype)
        self._outlier_score = score
        images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
        bits = tf.TensorSpec([None], tf.float64, name="compressor_bits")
        self.functions = {
            **self.functions,
            "score": tf.function(self._score, input_signature=[images, bits]),
            "sample": tf.function(self._images, input_signature=scalars()),
        }

    def _score(self, images: tf.Tensor, compressor_bits: tf.Tensor) -> Named:
        """What ``OutlierScore`` says of uint8 images and of the bits of their PNG files, each ``[batch]``.

        Log-likelihood in nats, bits per dimension, typicality, input complexity, the default score with its p-value,
        and the classes.
        """
        x, classes = tf.cast(images, self._model.dtype) + self._noise, {}
        values = tf.cast(self._model.statistics(x), tf.float64)
        statistics = dict(zip(self._model.statistic_names, tf.unstack(values, axis=-1), strict=True))
        log_prob = statistics["log_prob"]
        if self._model.classes is not None:
            classes = class_probabilities(self._model, tf.cast(self._model.joint_log_prob(x), tf.float64))
        score = self._combined({**statistics, "compressor_bits": compressor_bits})
        calibration = self._outlier_score.calibration
        at_least = len(calibration) - tf.searchsorted(tf.constant(calibration), score, side="left")
        return {
            **classes,
            "log_prob": log_prob,
            "bits_per_dim": -log_prob / (self._model.dimensions * math.log(2)),
            "typicality": tf.abs(-log_prob - self._outlier_score.entropy),
            "input_complexity": -log_prob / math.log(2) - compressor_bits,
            "score": score,
            "p_value": (1 + tf.cast(at_least, tf.float64)) / (len(calibration) + 1),
        }

    def _combined(self, statistics: Named) -> tf.Tensor:
        """``OutlierScore.score``, in the graph."""
        tails, unusual = self._outlier_score.tails, self._unusual(statistics)
        found = {name: unusual if name == STATES else -statistics[name] for name in tails}
        return tf.add_n([_surprise(tail, found[name]) for name, tail in tails.items()])

    def _unusual(self, statistics: Named) -> tf.Tensor:
        """``DensityOfStates.negative_log_density``, in the graph."""
        density = self._outlier_score.density
        t = tf.stack([statistics[name] for name in self._outlier_score.states], axis=-1)
        known = tf.reduce_all(tf.math.is_finite(t), axis=-1)
        y = tf.where(known[:, tf.newaxis], t - density.center, 0.0) @ density.whitening
        squares = tf.reduce_sum((y[:, tf.newaxis] - density.points) ** 2, axis=-1)
        log_density = tf.reduce_logsumexp(-squares / (2 * density.bandwidth**2), axis=-1) + density.log_scale
        return tf.where(known, -log_density, math.inf)

    def _images(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Named:
        """``number`` uint8 images, the same for the same seed; the classes in turn, where there are classes."""
        classes = self._model.classes
        context = None if classes is None else tf.one_hot(tf.range(number) % classes, classes)
        x = self._model.sample(number, context=context, seed=seed, temperature=temperature)
        return {"images": tf.cast(tf.clip_by_value(tf.floor(x), 0, 255), tf.uint8)}


def _surprise(tail: UpperTail, statistic: tf.Tensor) -> tf.Tensor:
    """``UpperTail.surprise``, in the graph."""
    away = (statistic[:, tf.newaxis] - tail.points) / tail.scale
    surprise = math.log(len(tail.points)) - tf.reduce_logsumexp(tf.math.log_sigmoid(-away), axis=-1)
    return tf.where(~tf.math.is_nan(statistic), surprise, math.inf)


def scalars() -> list[tf.TensorSpec]:
    """What a function that draws takes: ``number``, ``seed`` and ``temperature``."""
    return [tf.TensorSpec([], dtype, name) for name, dtype in _SCALARS.items()]


def class_probabilities(model: FlowModel, joint: tf.Tensor) -> Named:
    """``p(c | x)`` of each class, ``(n,)``, as ``p_<class>``, from ``joint_log_prob``."""
    probabilities = tf.nn.softmax(joint)
    names = [re.sub(r"\W+", "_", f"p_{name}") for name in model.about.get("classes", range(joint.shape[1]))]
    return {name: probabilities[:, index] for index, name in enumerate(names)}


def export(serving: Serving, folder: Path) -> None:
    """Write the SavedModel with the functions as its signatures, replacing the folder when it is whole."""
    with complete_folder(folder) as unfinished:
        tf.saved_model.save(serving, str(unfinished), signatures=dict(serving.functions))
