"""The latent side's distributions: how (y, z) is distributed, given what is known of y."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from flow_models.bijectors import Standardise
from flow_models.partition import Partition

LOG_2_PI = math.log(2 * math.pi)


class StandardNormal(tf.Module):
    """All of the latent side is z ~ N(0, I).

    Args:
        partition: of the latent side.
        dtype: of the values.
    """

    context_width: int | None = None

    def __init__(self, partition: Partition, *, dtype: tf.DType = tf.float32) -> None:
        super().__init__(name="base")
        self.partition, self.dtype = partition, dtype

    def log_prob(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Log-density of ``[batch, width]`` in nats, ``[batch]``."""
        del context  # nothing is known of y
        return log_normal(latent)

    def loss(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """What training minimises of each example, less the log-determinant, ``[batch]``."""
        return -self.log_prob(latent, context)

    def place(self, noise: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Carry draws from N(0, I), ``[batch, width]``, into draws from this distribution."""
        del context
        return noise

    def noise_of(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """The draws from N(0, I) that ``place`` carries to the latents ``[batch, width]``."""
        del context
        return latent

    def initialise(self, context: tf.Tensor | None = None) -> None:
        """Set what depends on the context of a first batch."""


class ObservedPart(StandardNormal):
    r"""y ~ N(observation, σ²) and z ~ N(0, I): the observation lies in a part of the latent side.

    ``log p(y, z | c) = Σ log N(y_i; (c_i - m_i) / s_i, σ_i²) + log N(z; 0, I)``

    with ``m, s`` the mean and deviation of the first batch's observations and σ learned, so that ``p(x | c)`` is exact
    and normalised whatever the network makes of y. As σ shrinks this is the squared error that Ardizzone et al.
    2019 add to the likelihood of z, with its weight learned instead of set.

    Args:
        partition: y as wide as the observation.
        start: σ before training, in deviations of the observation.
        dtype: of the values.
    """

    def __init__(self, partition: Partition, *, start: float = 0.1, dtype: tf.DType = tf.float32) -> None:
        super().__init__(partition, dtype=dtype)
        self.context_width = partition.y
        self._units = Standardise(event_shape=(partition.y,), dtype=dtype)
        self._log_scale = tf.Variable(tf.fill([partition.y], tf.cast(math.log(start), dtype)), name="log_scale")

    def log_prob(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Log-density of ``[batch, width]`` given observations ``[batch, y]``, ``[batch]``."""
        return log_normal(self.noise_of(latent, context)) - tf.reduce_sum(self._log_scale)

    def place(self, noise: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Draws of y about the observations, and of z."""
        y, z = self.partition.split_latent(noise)
        return tf.concat([self._centre(context) + tf.exp(self._log_scale) * y, z], axis=-1)

    def noise_of(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """How far y lies from the observations, in units of σ; and z."""
        y, z = self.partition.split_latent(latent)
        return tf.concat([(y - self._centre(context)) * tf.exp(-self._log_scale), z], axis=-1)

    def initialise(self, context: tf.Tensor | None = None) -> None:
        """Take the units of y from the observations."""
        self._units.initialise(context)

    def _centre(self, context: tf.Tensor) -> tf.Tensor:
        return self._units.inverse_and_log_det(context)[0]


class ClassMeans(StandardNormal):
    r"""y / σ ~ N(μ_c, I), one learned mean a class, and z ~ N(0, I); without a class, the mixture.

    ``p(y, z | c) = N(y / σ; μ_c, I) N(z; 0, I) / Π σ_i`` and ``p(y, z) = Σ_c π_c p(y, z | c)``

    with σ learned, one a column of y, the same for all classes. A spline acts inside an interval alone: with σ = 1
    there would be no room in it for many classes that do not overlap. Before training the mixture is about as wide as
    N(0, I).

    Training minimises ``-log p(x) - β · log p(c | x)``, the two terms of the IB-INN (Mackowiak, Ardizzone et al. 2021,
    eq. 12), with smoothed labels in the second. β = 1 without smoothing is the exact joint likelihood of x and c.

    Args:
        partition: y is the part that has class means.
        shares: π, the classes' shares, ``(k,)``, positive, summing to 1.
        class_weight: β.
        label_smoothing: share of each label that is spread over all classes.
        separation: distance between the two nearest means before training, in deviations.
        seed: of the means' directions.
        dtype: of the values.
    """

    def __init__(
        self,
        partition: Partition,
        *,
        shares: Sequence[float],
        class_weight: float = 1.0,
        label_smoothing: float = 0.0,
        separation: float = 4.0,
        seed: int = 0,
        dtype: tf.DType = tf.float32,
    ) -> None:
        super().__init__(partition, dtype=dtype)
        self.classes, self.shares = len(shares), tuple(shares)
        self.context_width = self.classes
        self._log_shares = tf.constant(np.log(shares), dtype)
        self._class_weight, self._label_smoothing = class_weight, label_smoothing
        means = separation * spread_points(self.classes, partition.y, seed=seed)
        self._means = tf.Variable(tf.cast(means, dtype), name="means")
        narrowing = -0.5 * np.log1p((means**2).mean(axis=0))
        self._log_scale = tf.Variable(tf.cast(narrowing, dtype), name="log_scale")

    def log_prob(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Log-density of ``[batch, width]`` given classes as one-hot rows ``[batch, k]``, ``[batch]``."""
        return tf.reduce_sum(context * self.class_log_prob(latent), axis=-1)

    def class_log_prob(self, latent: tf.Tensor) -> tf.Tensor:
        """Log-density of ``[batch, width]`` given each class, ``[batch, k]``."""
        y, z = self.partition.split_latent(latent)
        y *= tf.exp(-self._log_scale)
        # |y - μ|² as a matrix product, without a tensor of [batch, k, y].
        distance = tf.reduce_sum(y**2, axis=-1, keepdims=True) - 2 * y @ tf.transpose(self._means)
        distance += tf.reduce_sum(self._means**2, axis=-1)
        of_y = -0.5 * (distance + self.partition.y * LOG_2_PI) - tf.reduce_sum(self._log_scale)
        return of_y + log_normal(z)[:, tf.newaxis]

    def joint_log_prob(self, latent: tf.Tensor) -> tf.Tensor:
        """``log π_c + log p(y, z | c)``, ``[batch, k]``: the mixture is their sum, Bayes' rule their softmax."""
        return self._log_shares + self.class_log_prob(latent)

    def loss(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """``-log p(y, z) - β · Σ_c label_c log p(c | y, z)``, ``[batch]``."""
        joint = self.joint_log_prob(latent)
        labels = (1 - self._label_smoothing) * tf.cast(context, joint.dtype) + self._label_smoothing / self.classes
        of_labels = tf.reduce_sum(labels * tf.nn.log_softmax(joint), axis=-1)
        return -tf.reduce_logsumexp(joint, axis=-1) - self._class_weight * of_labels

    def place(self, noise: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Draws of y about the means of the classes ``[batch, k]``, and of z."""
        y, z = self.partition.split_latent(noise)
        return tf.concat([tf.exp(self._log_scale) * (context @ self._means + y), z], axis=-1)

    def start_at(self, means: tf.Tensor) -> None:
        """Begin training with these means of y, ``[k, y]``, and unit deviation about them."""
        self._means.assign(means)
        self._log_scale.assign(tf.zeros_like(self._log_scale))

    def noise_of(self, latent: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """How far y lies from the means of the classes ``[batch, k]``; and z."""
        y, z = self.partition.split_latent(latent)
        return tf.concat([y - context @ self._means, z], axis=-1)


BASES: dict[str, type[StandardNormal]] = {
    "standard_normal": StandardNormal,
    "observed_part": ObservedPart,
    "class_means": ClassMeans,
}


def build_base(kind: str, partition: Partition, **options: Any) -> StandardNormal:
    """The base distribution of a name in ``BASES``.

    Raises:
        KeyError: if there is none of that name.
    """
    return BASES[kind](partition, **options)


def spread_points(number: int, width: int, *, seed: int, tries: int = 200) -> NDArray[np.float64]:
    """Points about the origin, ``(number, width)``, the two nearest of them at distance 1.

    Of some draws from a normal distribution, that in which the nearest two are farthest apart for its size: in many
    dimensions all are alike, in few most have two points that almost coincide.
    """
    drawn = np.random.default_rng(seed).standard_normal([tries, number, width])
    drawn -= drawn.mean(axis=1, keepdims=True)
    best = max(drawn, key=lambda points: pdist(points).min() / np.linalg.norm(points))
    points: NDArray[np.float64] = best / pdist(best).min()
    return points


def log_normal(x: tf.Tensor) -> tf.Tensor:
    """Log-density of ``[batch, n]`` under N(0, I), ``[batch]``."""
    return -0.5 * (tf.reduce_sum(x**2, axis=-1) + x.shape[-1] * LOG_2_PI)
