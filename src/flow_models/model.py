"""FlowModel: a bijection and a base distribution, with their density, their samples and their files."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flow_models import architectures
from flow_models.base import ClassMeans, build_base
from flow_models.data.atomic import complete_folder
from flow_models.errors import FlowModelsError
from flow_models.partition import Partition
from flow_models.statistics import latent_statistics, statistic_names, turns
from flow_models.streams import in_streams

FORMAT = 3
DESCRIPTION = "model.json"
WEIGHTS = "weights"


class FlowModel(tf.Module):
    """An invertible network, and how its latent side (y, z) is distributed.

    Images have shape ``(n, height, width, channels)`` and lie on the 8-bit scale [0, 256): the
    pixel's integer plus the noise of dequantisation; vectors have shape ``(n, features)``. Latents have
    shape ``(n, elements)``. What is known beside x, an observation or a class as a one-hot row, is the ``context``,
    ``(n, context_width)``. Either the bijector reads it, ``f(x; context) <-> z``, or it is a part y of the latent side,
    where the base distribution lies about it: ``log_prob(x, context)`` is ``log p(x | context)`` in both.

    Args:
        architecture: a name in ``architectures``.
        options: of that architecture, as JSON holds them; they are saved with the weights.
        base: ``kind``, a name in ``base.BASES``, the widths ``y`` and ``noise`` of its partition, and options of
            that kind; none: N(0, I).
        about: what its users must know of its columns and classes, as JSON holds it; saved with the weights.
        dtype: of the weights and the values.
        compute_dtype: inside the coupling networks; trained in bfloat16, a model is still
            evaluated in float32, where inversion is exact to rounding.
        reversible: recompute activations in the gradient instead of keeping them.

    Attributes:
        log_prob: ``log p(x)`` or ``log p(x | context)`` in nats, ``(n,)``.
        loss: what training minimises, in nats, ``(n,)``: ``-log_prob``, and the weighted term of the classes.
        encode: data to latent; with the context, if the bijector reads it.
        decode: latent to data; with the context, if the bijector reads it.
        joint_log_prob: of a model with classes, ``log p(x, c)`` for every class in nats, ``(n, classes)``; their
            softmax is ``p(c | x)``, by Bayes' rule.
        statistics: of a model without another context, what outlier scores are made of, ``(n, k)``:
            ``log p(x)``, ``log|det dz/dx|``, how much likelier an image is than the same turned (``turns``), and the
            latents' ``latent_statistics``; ``statistic_names`` has the names.
    """

    def __init__(
        self,
        architecture: str,
        options: dict[str, Any],
        *,
        base: dict[str, Any] | None = None,
        about: dict[str, Any] | None = None,
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
        reversible: bool = False,
    ) -> None:
        super().__init__(name="flow_model")
        base = base or {"kind": "standard_normal"}
        self._description = json.dumps(
            {"architecture": architecture, "options": options, "base": base, "about": about or {}}
        )
        self.bijector = architectures.build(
            architecture, **options, dtype=dtype, compute_dtype=compute_dtype, reversible=reversible
        )
        self.dtype = dtype
        self.event_shape = self.bijector.data_shape
        self.dimensions = math.prod(self.event_shape)
        kind, y, noise = base["kind"], base.get("y", 0), base.get("noise", 0)
        self.partition = Partition(x=self.dimensions - noise, noise=noise, y=y)
        others = {name: value for name, value in base.items() if name not in ("kind", "y", "noise")}
        self.base = build_base(kind, self.partition, **others, dtype=dtype)
        self.context_width = self.bijector.context_width or self.base.context_width
        data, latent = [tf.TensorSpec([None, *shape], dtype) for shape in (self.event_shape, [self.dimensions])]
        read, known = [
            [] if width is None else [tf.TensorSpec([None, width], dtype, name="context")]
            for width in (self.bijector.context_width, self.context_width)
        ]
        self.log_prob = tf.function(in_streams(self._log_prob), input_signature=[data, *known])
        self.loss = tf.function(self._loss, input_signature=[data, *known])
        self.encode = tf.function(in_streams(self._encode), input_signature=[data, *read])
        self.decode = tf.function(in_streams(self._decode), input_signature=[latent, *read])
        if self.classes is not None:
            self.joint_log_prob = tf.function(in_streams(self._joint_log_prob), input_signature=[data])
        if self.context_width is None or self.classes is not None:
            self.statistics = tf.function(in_streams(self._statistics), input_signature=[data])

    @property
    def about(self) -> dict[str, Any]:
        """What its users must know: ``application``, the names of the columns ``x`` and ``y``, of the ``classes``."""
        about: dict[str, Any] = json.loads(self._description)["about"]
        return about

    @property
    def classes(self) -> int | None:
        """How many classes the model tells apart; None if it was trained without."""
        return self.base.classes if isinstance(self.base, ClassMeans) else None

    @property
    def statistic_names(self) -> list[str]:
        """The columns of ``statistics``."""
        return ["log_prob", "log_det", *turns(self.event_shape), *statistic_names(self.bijector.latent_parts)]

    def marginal_log_prob(self, x: tf.Tensor | np.ndarray) -> tf.Tensor:
        """``log p(x)`` in nats, ``(n,)``, whatever the class of x, for a model without another context."""
        return self.log_prob(x) if self.classes is None else tf.reduce_logsumexp(self.joint_log_prob(x), axis=-1)

    def initialise(self, x: tf.Tensor, context: tf.Tensor | None = None) -> None:
        """Set what depends on a first batch of data; called once, before training, and never after loading."""
        self.base.initialise(context)
        self.bijector.initialise(x, **self.bijector.given(context))

    def sample(
        self,
        number: int | tf.Tensor,
        *,
        context: tf.Tensor | np.ndarray | None = None,
        seed: int | tf.Tensor = 0,
        temperature: float | tf.Tensor = 1.0,
        truncation: float | None = None,
    ) -> tf.Tensor:
        """Draw ``(number, *event_shape)``; the same for the same seed.

        Where there is a context, one sample is drawn a row of ``context``, ``(number, context_width)``; or all for
        the one row of ``(1, context_width)``.

        ``temperature`` scales the latent draw (Kingma & Dhariwal 2018, section 6): below 1, more
        typical and less varied. ``truncation`` bounds each latent before it is scaled, in deviations: it cuts the
        tails off, and draws from what is left (Brock et al. 2019, section 3.1).
        """
        noise = temperature * self._noise([number, self.dimensions], seed=(seed, number), truncation=truncation)
        if context is None:
            return self.decode(self.base.place(noise))
        rows = tf.broadcast_to(tf.cast(context, self.dtype), [number, self.context_width])
        latent = self.base.place(noise, rows)
        return self.decode(latent) if self.bijector.context_width is None else self.decode(latent, rows)

    def save(self, folder: Path | str) -> None:
        """Write weights and description to a folder, replacing it only when all is written."""
        with complete_folder(Path(folder)) as unfinished:
            self._checkpoint().write(str(unfinished / WEIGHTS))
            description = {"format": FORMAT, **json.loads(self._description), "sha256": _digest(unfinished)}
            (unfinished / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> FlowModel:
        """Read a model that ``save`` wrote; nothing in it is executed.

        Raises:
            FlowModelsError: if the folder holds no model, a damaged one, or one of a later format.
        """
        folder = Path(folder)
        try:
            description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            version = description["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise FlowModelsError(f"{folder}: not a flow model (no readable {DESCRIPTION}); train one first") from None
        if version != FORMAT:
            raise FlowModelsError(
                f"{folder}: a model of format {version}, but this version reads {FORMAT}; use the one that wrote it"
            )
        try:
            intact = _digest(folder) == description["sha256"]
            made_of = {name: description[name] for name in ("architecture", "options", "base", "about")}
            # As loops: where nothing is trained they cost nothing, and the graph stays small.
            model = cls(**made_of, reversible=True)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FlowModelsError(
                f"{folder}: {DESCRIPTION} describes no flow ({error!r}); fetch or train the model anew"
            ) from error
        if not intact:
            raise FlowModelsError(f"{folder}: the weights are damaged (their sha256 differs); fetch or train them anew")
        try:
            model._checkpoint().read(str(folder / WEIGHTS)).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise FlowModelsError(
                f"{folder}: the weights are not those of the flow in {DESCRIPTION}; fetch or train the model anew"
            ) from error
        return model

    def _noise(
        self, shape: list[int | tf.Tensor], *, seed: tuple[int | tf.Tensor, ...], truncation: float | None
    ) -> tf.Tensor:
        if truncation is None:
            return tf.random.stateless_normal(shape, seed=seed, dtype=self.dtype)
        half = 0.5 * math.erf(truncation / math.sqrt(2))
        share = tf.random.stateless_uniform(shape, seed=seed, minval=0.5 - half, maxval=0.5 + half, dtype=self.dtype)
        return tf.clip_by_value(tf.math.ndtri(share), -truncation, truncation)

    def _checkpoint(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(bijector=self.bijector, base=self.base)

    def _log_prob(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """By change of variables."""
        z, log_det = self.bijector.inverse_and_log_det(x, **self.bijector.given(context))
        return self.base.log_prob(z, context) + log_det

    def _loss(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        z, log_det = self.bijector.inverse_and_log_det(x, **self.bijector.given(context))
        return self.base.loss(z, context) - log_det

    def _joint_log_prob(self, x: tf.Tensor) -> tf.Tensor:
        z, log_det = self.bijector.inverse_and_log_det(x)
        return self.base.joint_log_prob(z) + log_det[:, tf.newaxis]

    def _statistics(self, x: tf.Tensor) -> tf.Tensor:
        z, log_det = self.bijector.inverse_and_log_det(x)
        log_prob = self._log_prob_of_any_class(z, log_det)
        ratios = [
            log_prob - self._log_prob_of_any_class(*self.bijector.inverse_and_log_det(tf.reverse(x, [axis])))
            for axis in turns(self.event_shape).values()
        ]
        first = tf.stack([log_prob, tf.broadcast_to(log_det, tf.shape(log_prob)), *ratios], axis=-1)
        return tf.concat([first, latent_statistics(z, self.bijector.latent_parts)], axis=-1)

    def _log_prob_of_any_class(self, z: tf.Tensor, log_det: tf.Tensor) -> tf.Tensor:
        if self.classes is None:
            return self.base.log_prob(z) + log_det
        return tf.reduce_logsumexp(self.base.joint_log_prob(z), axis=-1) + log_det

    def _encode(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        return self.bijector.inverse_and_log_det(x, **self.bijector.given(context))[0]

    def _decode(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        return self.bijector.forward_and_log_det(z, **self.bijector.given(context))[0]


def to_images(x: tf.Tensor | np.ndarray) -> np.ndarray:
    """Samples on the 8-bit scale as the uint8 images whose bin they fall into."""
    return np.clip(np.floor(np.asarray(x)), 0, 255).astype(np.uint8)


def _digest(folder: Path) -> str:
    """sha256 over the weights' files, in order of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob(f"{WEIGHTS}.*")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
