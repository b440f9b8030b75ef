"""FlowModel: a bijection between data and N(0, I), with its density, its samples and its files."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from flow_models import architectures
from flow_models.data.atomic import complete_folder
from flow_models.errors import FlowModelsError

FORMAT = 1
DESCRIPTION = "model.json"
WEIGHTS = "weights"


class FlowModel(tf.Module):
    """An invertible network and the standard normal distribution on its latent side.

    Images have shape ``(n, height, width, channels)`` and lie on the 8-bit scale [0, 256): the
    pixel's integer plus the noise of dequantisation; vectors have shape ``(n, features)``. Latents have
    shape ``(n, elements)``. The functions of a conditional model take its context, ``(n, context_width)``, as a
    second argument: ``log_prob(x, context)``, ``encode(x, context)``, ``decode(z, context)``.

    Args:
        architecture: a name in ``architectures``.
        options: of that architecture, as JSON holds them; they are saved with the weights.
        dtype: of the weights and the values.
        compute_dtype: inside the coupling networks; trained in bfloat16, a model is still
            evaluated in float32, where inversion is exact to rounding.
        reversible: recompute activations in the gradient instead of keeping them.
    """

    def __init__(
        self,
        architecture: str,
        options: dict[str, Any],
        *,
        dtype: tf.DType = tf.float32,
        compute_dtype: tf.DType | None = None,
        reversible: bool = False,
    ) -> None:
        super().__init__(name="flow_model")
        self._description = json.dumps({"architecture": architecture, "options": options})
        self.bijector = architectures.build(
            architecture, **options, dtype=dtype, compute_dtype=compute_dtype, reversible=reversible
        )
        self.dtype = dtype
        self.event_shape = self.bijector.data_shape
        self.dimensions = math.prod(self.event_shape)
        self.base = tfp.distributions.MultivariateNormalDiag(loc=tf.zeros(self.dimensions, dtype))
        data, latent = [tf.TensorSpec([None, *shape], dtype) for shape in (self.event_shape, [self.dimensions])]
        width = self.bijector.context_width
        context = [] if width is None else [tf.TensorSpec([None, width], dtype, name="context")]
        self.log_prob = tf.function(self._log_prob, input_signature=[data, *context])
        self.encode = tf.function(self._encode, input_signature=[data, *context])
        self.decode = tf.function(self._decode, input_signature=[latent, *context])

    def sample(
        self,
        number: int | tf.Tensor,
        *,
        context: tf.Tensor | np.ndarray | None = None,
        seed: int | tf.Tensor = 0,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        """Draw ``(number, *event_shape)``; the same for the same seed.

        A conditional model draws one sample a row of ``context``, ``(number, context_width)``; or all for the one
        row of ``(1, context_width)``.

        ``temperature`` scales the latent draw (Kingma & Dhariwal 2018, section 6): below 1, more
        typical and less varied.
        """
        z = tf.random.stateless_normal([number, self.dimensions], seed=(seed, number), dtype=self.dtype)
        if context is None:
            return self.decode(temperature * z)
        rows = tf.broadcast_to(tf.cast(context, self.dtype), [number, self.bijector.context_width])
        return self.decode(temperature * z, rows)

    def save(self, folder: Path | str) -> None:
        """Write weights and description to a folder, replacing it only when all is written."""
        with complete_folder(Path(folder)) as unfinished:
            tf.train.Checkpoint(bijector=self.bijector).write(str(unfinished / WEIGHTS))
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
        if _digest(folder) != description["sha256"]:
            raise FlowModelsError(f"{folder}: the weights are damaged (their sha256 differs); fetch or train them anew")
        # As loops: where nothing is trained they cost nothing, and the graph stays small.
        model = cls(description["architecture"], description["options"], reversible=True)
        checkpoint = tf.train.Checkpoint(bijector=model.bijector)
        checkpoint.read(str(folder / WEIGHTS)).assert_consumed()
        return model

    def _log_prob(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """``log p(x)`` or ``log p(x | context)`` in nats, ``[batch]``, by change of variables."""
        z, log_det = self.bijector.inverse_and_log_det(x, **self.bijector.given(context))
        return self.base.log_prob(z) + log_det

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
