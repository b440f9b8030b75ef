"""A trained model of vectors as a TensorFlow SavedModel: densities, classes, samples, posteriors."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf

from flow_models.model import FlowModel
from flow_models.saved_model import Named, Serving, class_probabilities, scalars


def column_name(name: str) -> str:
    """A column's name as a SavedModel's output may be called: ``velocity_1 (km/s)`` is ``velocity_1_km_s``."""
    return re.sub(r"\W+", "_", name).strip("_")


def vector_serving(model: FlowModel) -> Serving:
    """A posterior's functions where the model is conditional on observations, else those of a density."""
    if model.classes is not None:
        return VectorServing(model, shares=model.base.shares)
    return VectorServing(model) if model.context_width is None else PosteriorServing(model)


class VectorServing(Serving):
    """Density, classes and samples of a model that is not conditional on observations.

    Signatures beside those of ``Serving``: ``score(x)`` gives ``log_prob`` in nats and, where there are classes,
    ``p_<class>``, each ``(n,)``;
    ``sample(number, seed, temperature)`` gives each column of x, ``(number,)``, classes drawn by their shares.

    Args:
        model: trained.
        shares: of the classes, ``(k,)``; none in a model without.
    """

    def __init__(self, model: FlowModel, *, shares: Sequence[float] = ()) -> None:
        super().__init__(model)
        self._log_shares = tf.math.log(tf.constant([shares or [1.0]], tf.float32))
        x = tf.TensorSpec([None, model.dimensions], model.dtype, name="x")
        self.functions = {
            **self.functions,
            "score": tf.function(self._score, input_signature=[x]),
            "sample": tf.function(self._table, input_signature=scalars()),
        }

    def _score(self, x: tf.Tensor) -> Named:
        if self._model.classes is None:
            return {"log_prob": self._model.log_prob(x)}
        joint = self._model.joint_log_prob(x)
        return {"log_prob": tf.reduce_logsumexp(joint, axis=-1), **class_probabilities(self._model, joint)}

    def _table(self, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Named:
        context = None
        if self._model.classes is not None:
            drawn = tf.random.stateless_categorical(self._log_shares, number, seed=(seed, 1))[0]
            context = tf.one_hot(drawn, self._model.classes)
        x = self._model.sample(number, context=context, seed=seed, temperature=temperature)
        return _columns(x, self._model)


class PosteriorServing(Serving):
    """Posterior samples of a model that is conditional on observations.

    A signature beside those of ``Serving``, ``posterior(observations, number, seed, temperature)``: for
    observations ``(n, m)``, each parameter's draws ``(n, number)``.

    Args:
        model: trained.
    """

    def __init__(self, model: FlowModel) -> None:
        super().__init__(model)
        observations = tf.TensorSpec([None, model.context_width], model.dtype, name="observations")
        posterior = tf.function(self._posterior, input_signature=[observations, *scalars()])
        self.functions = {**self.functions, "posterior": posterior}

    def _posterior(self, observations: tf.Tensor, number: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Named:
        rows = tf.repeat(observations, number, axis=0)
        x = self._model.sample(tf.shape(rows)[0], context=rows, seed=seed, temperature=temperature)
        return {name: tf.reshape(each, [-1, number]) for name, each in _columns(x, self._model).items()}


def _columns(x: tf.Tensor, model: FlowModel) -> Named:
    """The columns of x by name, ``x_0`` … if they have none; those of the noise, which follow, are left out."""
    names = model.about.get("x") or [f"x_{index}" for index in range(model.partition.x)]
    return {column_name(name): x[:, index] for index, name in enumerate(names)}
