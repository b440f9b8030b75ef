"""The examples on which two models are compared: none was trained on, and all are known by one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow_models.errors import FlowModelsError
from flow_models.evaluation.likelihood import bits_per_dim

if TYPE_CHECKING:
    from flow_models.model import FlowModel

_INVERTED = 256  # examples; an inverse breaks on many or on none


@dataclass(frozen=True, kw_only=True)
class FrozenSet:
    """Examples with all that a score of them depends on beside the model.

    Attributes:
        x: ``(n, ...)``, images (uint8) or the data side of vectors.
        context: ``(n, m)``, the observations of a conditional model; None where there are none.
        noise: of dequantisation, one field of an example's shape for all of them; None for vectors.
        keys: ``(n,)``, str: the image that each comes from, as in the manifest; None for vectors.
        batch_size: examples scored at once.
    """

    x: NDArray[Any]
    context: NDArray[np.float32] | None = None
    noise: NDArray[np.float32] | None = None
    keys: NDArray[np.str_] | None = None
    batch_size: int = 256

    def __len__(self) -> int:
        return len(self.x)

    @property
    def unit(self) -> str:
        """Of the losses."""
        return "nats" if self.noise is None else "bits/dim"

    @cached_property
    def digest(self) -> str:
        """sha256 over the examples, what is known of them, and the noise."""
        digest = hashlib.sha256()
        for part in (self.x, self.context, self.noise):
            if part is not None:
                digest.update(f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def losses(self, model: FlowModel) -> NDArray[np.float64]:
        """``-log p(x)``, or ``-log p(x | context)``, of each example, ``(n,)``, in ``unit``.

        Raises:
            FlowModelsError: if the model takes other examples, or another context.
        """
        self._check(model)
        parts = [
            np.asarray(model.marginal_log_prob(x) if context is None else model.log_prob(x, context), np.float64)
            for x, context in self._batches(len(self))
        ]
        log_prob = np.concatenate(parts)
        return -log_prob if self.noise is None else bits_per_dim(log_prob, model.dimensions)

    def inversion_error(self, model: FlowModel) -> float:
        """Largest ``|x - decode(encode(x))|`` over some examples, as a share of the range of x.

        The range is 256 for images, and of vectors each column's own; infinite if something is not finite.

        Raises:
            FlowModelsError: if the model takes other examples, or another context.
        """
        self._check(model)
        largest = 0.0
        for x, context in self._batches(min(len(self), _INVERTED)):
            read = () if model.bijector.context_width is None else (context,)
            error = np.abs(np.asarray(model.decode(model.encode(x, *read), *read)) - x) / self._range()
            largest = max(largest, float(error.max()) if np.isfinite(error).all() else np.inf)
        return largest

    def _check(self, model: FlowModel) -> None:
        if tuple(model.event_shape) != self.x.shape[1:]:
            raise FlowModelsError(f"the model takes {tuple(model.event_shape)}, these examples are {self.x.shape[1:]}")
        width = None if model.classes is not None else model.context_width
        known = None if self.context is None else self.context.shape[1]
        if width != known:
            raise FlowModelsError(f"the model takes {width or 0} observed values, these examples have {known or 0}")

    def _batches(self, number: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        for start in range(0, number, self.batch_size):
            part = slice(start, min(start + self.batch_size, number))
            x = self.x[part].astype(np.float32)
            yield x if self.noise is None else x + self.noise, None if self.context is None else self.context[part]

    def _range(self) -> float | NDArray[np.float64]:
        if self.noise is not None:
            return 256.0
        width = np.ptp(self.x.astype(np.float64), axis=0)
        return np.where(width > 0, width, 1.0)
