"""One step of maximum likelihood, compiled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from flow_models.bijectors.dequantiser import largest_noise
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.streams import in_streams, mean_in_streams
from flow_models.training.flat import FlatWeights
from flow_models.training.muon import Muon
from flow_models.training.strategy import Replicas

Batch: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]
ALONE = Replicas()


class Stepper(tf.Module):
    """A model, its optimizer, and the running average of its weights.

    A batch is ``x``, or the pair ``(x, context)`` for a conditional model. The loss is in bits per dimension for
    images, as is the custom for them, and in nats for vectors.

    Args:
        model: to train, in place.
        settings: of the optimizer and the average.
        seed: of the noise that each step adds; the noise is a function of (seed, step) alone.
        xla: whether XLA compiles the step.
        streams: in which each replica computes its part of a batch; see ``streams``.
        together: steps that one call takes.
        replicas: of the model, each of which takes its part of the batch; the rest is done once in each process, which
            is given its share of the batch alone.
    """

    def __init__(
        self,
        model: FlowModel,
        settings: TrainSettings,
        *,
        seed: int,
        xla: bool = False,
        streams: int = 1,
        together: int = 1,
        replicas: Replicas | None = None,
    ) -> None:
        super().__init__(name="stepper")
        self.together = together
        self.model, self._settings, self._seed, self._streams = model, settings, seed, streams
        self.replicas = replicas or ALONE
        images = len(model.event_shape) > 1
        self.unit = "bits_per_dim" if images else "nats"
        if model.classes:
            self.unit = "loss"
        self._nats = model.dimensions * math.log(2) if images else 1.0
        self._flat = FlatWeights(model.trainable_variables)
        start = self._flat.read()
        self.weights = tf.Variable(start, name="weights")
        self.average = tf.Variable(start, name="average")
        self.best = tf.Variable(start, name="best")
        self.optimizer = Muon(self._flat) if settings.optimizer == "muon" else tf_keras.optimizers.Adam()
        self.optimizer.build([self.weights])
        self._own, whole = self._loss_and_gradient, xla
        if xla and self.replicas.count > 1:
            # XLA takes no variables of several devices: it compiles what each replica does for itself.
            self._own, whole = tf.function(self._own, autograph=False, jit_compile=True), False
        self.step = tf.function(self._step, autograph=False, jit_compile=whole or None)
        self._several = tf.function(self._in_one_call, autograph=False, jit_compile=whole or None)
        measured = whole and not images  # the noise of XLA is other noise, and held-out images always have the same
        self.evaluate = tf.function(self._evaluate, autograph=False, jit_compile=measured or None)
        self._write = tf.function(self._flat.write, autograph=False)  # by hand, a call for each of hundreds of weights

    def initialise(self, batch: Batch) -> None:
        """Start from the data: the layers that normalise take their scales from this batch."""
        x, *context = self._drawn(batch, noise=-1)
        with self.replicas.scope():
            self.model.initialise(x, *context)
        for vector in (self.weights, self.average, self.best):
            vector.assign(self._flat.read())

    def restart(self) -> None:
        """Forget the optimizer's moments, to train the model from other weights."""
        for variable in self.optimizer.variables:
            variable.assign(tf.zeros_like(variable))

    def share(self) -> None:
        """Give every replica what the chief holds."""
        vectors = [self.weights, self.average, self.best, *self.optimizer.variables]
        self.replicas.share([*vectors, *self.model.non_trainable_variables])
        self.use(self.weights)

    def steps(self, batches: Sequence[Batch], index: int, rates: Sequence[float]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Take a step with each batch, from step ``index`` on: their losses and norms, each ``(len(batches),)``.

        As many as go ``together`` take one call: to start one, and to hand over hundreds of weights, takes longer than
        a step of a small flow.
        """
        dtype = self.model.dtype
        if len(batches) == self.together > 1:
            stacked = tf.nest.map_structure(lambda *each: tf.stack(each), *batches)
            losses, norms = self._several(stacked, tf.constant(index), tf.constant(rates, dtype))
            return losses.numpy(), norms.numpy()
        taken = [
            self.step(batch, tf.constant(index + at), tf.constant(rate, dtype))
            for at, (batch, rate) in enumerate(zip(batches, rates, strict=True))
        ]
        losses, norms = zip(*taken, strict=True)
        return np.array(losses), np.array(norms)

    def use(self, vector: tf.Variable) -> None:
        """Give the model the weights, their average, or the best average."""
        with self.replicas.scope():
            self._write(vector.read_value())

    def _step(self, batch: Batch, index: tf.Tensor, rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one step; returns the loss of the batch and the norm of its gradient, NaN if either is not finite.

        A step that is not finite is left out: weights, moments and average stay as they were.
        """
        loss, gradient = self.replicas.sum(lambda: self._own(batch, index))
        norm = tf.norm(gradient)
        finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        clipped = gradient * tf.minimum(1.0, self._settings.clip_norm / norm)
        tf.cond(finite, lambda: self._apply(clipped, index, rate), lambda: None)
        return loss, tf.where(finite, norm, math.nan)

    def _in_one_call(self, batches: Batch, index: tf.Tensor, rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Steps one after another, with ``[k, batch, …]`` and rates ``[k]``."""
        steps = (batches, index + tf.range(self.together), rates)
        signature = (self.model.dtype, self.model.dtype)
        return tf.map_fn(lambda one: self._step(*one), steps, fn_output_signature=signature, parallel_iterations=1)

    def _loss_and_gradient(self, batch: Batch, index: tf.Tensor) -> Sequence[tf.Tensor]:
        """A replica's share of the loss of the whole batch, and of its gradient ``[parameters]``."""
        own = tf.nest.map_structure(self.replicas.own, batch)
        drawn = self._drawn(own, noise=index, by=self.replicas)
        return mean_in_streams(self._share_of_loss, drawn, count=self._streams)

    def _share_of_loss(self, *drawn: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            # Not the compiled function, whose signature leaves the size of the batch open.
            loss = tf.reduce_mean(self.model.loss.python_function(*drawn))
            loss /= self._nats * self.replicas.count
        return loss, self._flat.flatten(tape.gradient(loss, self.model.trainable_variables))

    def _apply(self, gradient: tf.Tensor, index: tf.Tensor, rate: tf.Tensor) -> None:
        self.optimizer.learning_rate.assign(rate)
        if self._settings.weight_decay:
            # Decoupled (Loshchilov & Hutter 2019, algorithm 2, line 12). Not tf_keras's AdamW, which would decay all of
            # the one vector: towards zero, a normalisation's scale or a bias is no simpler.
            self.weights.assign_sub(rate * self._settings.weight_decay * self._flat.kernels() * self.weights)
        self.optimizer.apply_gradients([(gradient, self.weights)])
        self.use(self.weights)
        # A young average would otherwise remember the random start for long (Adam's bias, seen again).
        steps = tf.cast(index, self.average.dtype)
        decay = tf.minimum(self._settings.averaging, (1 + steps) / (10 + steps))
        self.average.assign_add((1 - decay) * (self.weights - self.average))

    def _evaluate(self, batch: Batch, index: tf.Tensor) -> tf.Tensor:
        """The loss of each example, ``[batch]``, with noise that is the same at every call."""
        drawn = self._drawn(batch, noise=-2 - index)

        def loss(*drawn: tf.Tensor) -> tf.Tensor:
            return self.model.loss.python_function(*drawn) / self._nats

        return in_streams(loss)(*drawn)

    def _drawn(self, batch: Batch, *, noise: tf.Tensor | int, by: Replicas = ALONE) -> list[tf.Tensor]:
        """``x`` with noise if it has integers, and the context if there is one, in the model's type."""
        x, *context = batch if isinstance(batch, tuple) else (batch,)
        dtype = self.model.dtype
        noisy = dequantise(x, seed=[self._seed, noise], dtype=dtype, by=by)
        return [noisy, *(tf.cast(each, dtype) for each in context)]


def dequantise(batch: tf.Tensor, *, seed: list[tf.Tensor | int], dtype: tf.DType, by: Replicas = ALONE) -> tf.Tensor:
    """8-bit integers with uniform noise in [0, 1) added; real numbers as they are.

    The noise is drawn for the whole batch of which each replica has a part, so that an example has the same
    whichever takes it. It never rounds a pixel into the next level.
    """
    if not batch.dtype.is_integer:
        return tf.cast(batch, dtype)
    size, event = tf.shape(batch)[:1], tf.shape(batch)[1:]
    noise = tf.random.stateless_uniform(tf.concat([size * by.count, event], 0), seed=seed, dtype=dtype)
    return tf.cast(batch, dtype) + tf.ensure_shape(tf.minimum(by.part(noise), largest_noise(dtype)), batch.shape)
