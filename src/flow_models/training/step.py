"""One step of maximum likelihood, compiled."""

from __future__ import annotations

import math
from typing import TypeAlias

import tensorflow as tf
import tf_keras

from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training.flat import FlatWeights
from flow_models.training.strategy import Replicas

Batch: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]


class Stepper(tf.Module):
    """A model, its optimizer, and the running average of its weights.

    A batch is ``x``, or the pair ``(x, context)`` for a conditional model. The loss is in bits per dimension for
    images, as is the custom for them, and in nats for vectors.

    Args:
        model: to train, in place.
        settings: of the optimizer and the average.
        seed: of the noise that each step adds; the noise is a function of (seed, step) alone.
        replicas: of the model, each of which takes its part of the batch; the rest is done once in each process.
    """

    def __init__(
        self, model: FlowModel, settings: TrainSettings, *, seed: int, replicas: Replicas | None = None
    ) -> None:
        super().__init__(name="stepper")
        self._model, self._settings, self._seed = model, settings, seed
        self._replicas = replicas or Replicas()
        images = len(model.event_shape) > 1
        self.unit = "bits_per_dim" if images else "nats"
        self._nats = model.dimensions * math.log(2) if images else 1.0
        self._flat = FlatWeights(model.bijector.trainable_variables)
        start = self._flat.read()
        self.weights = tf.Variable(start, name="weights")
        self.average = tf.Variable(start, name="average")
        self.best = tf.Variable(start, name="best")
        self.optimizer = tf_keras.optimizers.Adam()
        self.optimizer.build([self.weights])
        self.step = tf.function(self._step, autograph=False)
        self.evaluate = tf.function(self._evaluate, autograph=False)

    def initialise(self, batch: Batch) -> None:
        """Start from the data: the layers that normalise take their scales from this batch."""
        x, *context = self._prepared(batch, noise=-1)
        with self._replicas.scope():
            self._model.bijector.initialise(x, *context)
        for vector in (self.weights, self.average, self.best):
            vector.assign(self._flat.read())

    def share(self) -> None:
        """Give every replica what the chief holds."""
        vectors = [self.weights, self.average, self.best, *self.optimizer.variables]
        self._replicas.share([*vectors, *self._model.bijector.non_trainable_variables])
        self.use(self.weights)

    def use(self, vector: tf.Variable) -> None:
        """Give the model the weights, their average, or the best average."""
        with self._replicas.scope():
            self._flat.write(vector)

    def _step(self, batch: Batch, index: tf.Tensor, rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one step; returns the loss of the batch, and whether all was finite.

        A step that is not finite is left out: weights, moments and average stay as they were.
        """
        inputs = self._prepared(batch, noise=index)
        loss, gradient = self._replicas.sum(lambda: self._loss_and_gradient(inputs))
        norm = tf.norm(gradient)
        finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        clipped = gradient * tf.minimum(1.0, self._settings.clip_norm / norm)
        tf.cond(finite, lambda: self._apply(clipped, index, rate), lambda: None)
        return loss, finite

    def _loss_and_gradient(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """A replica's share of the loss of the whole batch, and of its gradient ``[parameters]``."""
        own = [self._replicas.part(each) for each in inputs]
        variables = self._model.bijector.trainable_variables
        with tf.GradientTape() as tape:
            # Not the compiled function, whose signature leaves the size of the batch open.
            log_prob = self._model.log_prob.python_function(*own)
            loss = -tf.reduce_mean(log_prob) / (self._nats * self._replicas.count)
        return loss, self._flat.flatten(tape.gradient(loss, variables))

    def _apply(self, gradient: tf.Tensor, index: tf.Tensor, rate: tf.Tensor) -> None:
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply_gradients([(gradient, self.weights)])
        self.use(self.weights)
        # A young average would otherwise remember the random start for long (Adam's bias, seen again).
        steps = tf.cast(index, self.average.dtype)
        decay = tf.minimum(self._settings.averaging, (1 + steps) / (10 + steps))
        self.average.assign_add((1 - decay) * (self.weights - self.average))

    def _evaluate(self, batch: Batch, index: tf.Tensor) -> tf.Tensor:
        """The loss of each example, ``[batch]``, with noise that is the same at every call."""
        return -self._model.log_prob(*self._prepared(batch, noise=-2 - index)) / self._nats

    def _prepared(self, batch: Batch, *, noise: tf.Tensor | int) -> list[tf.Tensor]:
        """``x``, and the context if there is one, as the model takes them."""
        x, *context = batch if isinstance(batch, tuple) else (batch,)
        dtype = self._model.dtype
        return [dequantise(x, seed=[self._seed, noise], dtype=dtype), *(tf.cast(each, dtype) for each in context)]


def dequantise(batch: tf.Tensor, *, seed: list[tf.Tensor | int], dtype: tf.DType) -> tf.Tensor:
    """8-bit integers with uniform noise in [0, 1) added; real numbers as they are."""
    if batch.dtype.is_integer:
        return tf.cast(batch, dtype) + tf.random.stateless_uniform(tf.shape(batch), seed=seed, dtype=dtype)
    return tf.cast(batch, dtype)
