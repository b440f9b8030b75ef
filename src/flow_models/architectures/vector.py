"""Coupling flows for vectors, with or without a context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from flow_models.bijectors import (
    AffineCoupling,
    Chain,
    Conditional,
    FusedBijector,
    Permutation,
    RationalQuadraticSplineCoupling,
    SingleIndex,
    Standardise,
    Support,
    Whiten,
)
from flow_models.bijectors.networks import DenseNetwork
from flow_models.bijectors.summaries import SeriesNetwork, SetNetwork


def realnvp(**options: Any) -> FusedBijector:
    """Affine couplings between vectors and N(0, I) (Dinh, Sohl-Dickstein & Bengio 2017).

    Args:
        options: those of ``VectorFlow``.

    Returns:
        Data ``[batch, features]``, latent ``[batch, features]``, context ``[batch, context_width]``.
    """
    flow = VectorFlow(**options)

    def coupling() -> FusedBijector:
        return AffineCoupling(network=flow.network(outputs=2 * flow.transformed), **flow.shared())

    return flow.build(coupling, name="realnvp")


def spline_coupling(*, bins: int = 8, **options: Any) -> FusedBijector:
    """Rational-quadratic spline couplings between vectors and N(0, I) (Durkan et al. 2019).

    Args:
        bins: of each spline.
        options: those of ``VectorFlow``.

    Returns:
        Data ``[batch, features]``, latent ``[batch, features]``, context ``[batch, context_width]``.
    """
    flow = VectorFlow(**options)
    outputs = RationalQuadraticSplineCoupling.outputs_needed(flow.transformed, bins=bins)

    def coupling() -> FusedBijector:
        return RationalQuadraticSplineCoupling(bins=bins, network=flow.network(outputs=outputs), **flow.shared())

    return flow.build(coupling, name="spline_coupling")


@dataclass(kw_only=True)
class VectorFlow:
    """What coupling flows for vectors have in common.

    Attributes:
        features: elements of a vector.
        layers: couplings; two in a row transform every element.
        hidden: elements of each hidden layer of the coupling networks.
        residual: whether the hidden layers add to what comes in.
        context_width: elements of the context that the flow is conditional on; None for none.
        context_features: elements that a network of its own makes of the context, for the couplings to read; None to
            let them read it as it is, to scale.
        context_elements: of a context that is a set or a series, of ``context_width / context_elements`` columns each,
            already to scale; None for a context that is a vector.
        context_order: whether the order of these elements matters: a series, not a set.
        support: lower and upper bound of each element, None where there is none.
        standardise: whether the first batch of training sets the scale of the data, as it does for the context.
        whiten: whether the first data also take away the correlations, among the elements of x and with the context;
            and those of the context for the networks.
        aligned: whether what whitening gives keeps the axes of the elements, see ``Whiten``. Given a context, each
            element then goes through a spline of its own as well, see ``SingleIndex``.
        seed: of the starting weights and of the orders of the elements.
        dtype: of everything but what lies inside the networks.
        compute_dtype: inside the networks.
    """

    features: int
    layers: int
    hidden: Sequence[int]
    residual: bool = False
    context_width: int | None = None
    context_features: int | None = None
    context_elements: int | None = None
    context_order: bool = True
    support: Sequence[tuple[float | None, float | None]] | None = None
    standardise: bool = True
    whiten: bool = False
    aligned: bool = False
    seed: int = 0
    dtype: tf.DType = tf.float32
    compute_dtype: tf.DType | None = None
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    @property
    def transformed(self) -> int:
        """How many elements a coupling transforms; the rest pass."""
        return self.features - self.features // 2

    @property
    def context_read(self) -> int | None:
        """Elements of the context that a coupling reads."""
        return self.context_width if self.context_features is None else self.context_features

    def shared(self) -> dict[str, Any]:
        """Options that every kind of coupling has."""
        return {
            "event_shape": (self.features,),
            "passed": self.features - self.transformed,
            "context_width": self.context_read,
            "dtype": self.dtype,
        }

    def network(self, *, outputs: int) -> DenseNetwork:
        """A coupling network."""
        inputs = self.features - self.transformed + (self.context_read or 0)
        # Without biases all units that see one element bend at 0. With more it made no difference that could be seen.
        bias = 1.0 if inputs == 1 else 0.0
        return self._dense(inputs=inputs, outputs=outputs, residual=self.residual, bias=bias)

    def build(self, coupling: Callable[[], FusedBijector], *, name: str) -> FusedBijector:
        """From data to latent: onto the real line, to unit scale, then orders and couplings in turn."""
        chain: list[FusedBijector] = []
        for index in range(self.layers):
            chain += [self._order(index), coupling()]
        if self.context_width is None:
            return Chain([*self._units(), *chain], name=name)
        network = self._context_network(self.context_width)
        conditional = Conditional(
            Chain(chain),
            network=network,
            context_width=self.context_width,
            standardise=self.context_elements is None,
            whiten=self.whiten,
            aligned=self.aligned,
        )
        return Chain([*self._units(), conditional], name=name)

    def _units(self) -> list[FusedBijector]:
        """Onto the real line, and to unit scale."""
        units: list[FusedBijector] = []
        if self.support is not None:
            low, high = zip(*self.support, strict=True)
            units.append(Support(low=low, high=high, dtype=self.dtype))
        if self.whiten:
            # A regression on the elements of a set would know their order.
            regressed = self.context_width if self.context_elements is None else None
            shared = {"event_shape": (self.features,), "dtype": self.dtype}
            if self.aligned and regressed is not None:
                units.append(SingleIndex(context_width=regressed, **shared))
            else:
                units.append(Whiten(context_width=regressed, aligned=self.aligned, **shared))
        elif self.standardise:
            units.append(Standardise(event_shape=(self.features,), dtype=self.dtype))
        return units

    def _order(self, index: int) -> FusedBijector:
        """A random order, then one that exchanges what passed and what did not, in turn."""
        elements = np.arange(self.features)
        passed = self.features - self.transformed
        # Of two elements, a random order would have the same one transformed twice running.
        mixed = index % 2 == 0 and self.features != 2  # noqa: PLR2004 - a pair
        order = self.rng.permutation(elements) if mixed else np.roll(elements, -passed)
        return Permutation(event_shape=(self.features,), order=order, dtype=self.dtype)

    def _context_network(self, width: int) -> Callable[[tf.Tensor], tf.Tensor]:
        if self.context_elements is not None:
            network = SeriesNetwork if self.context_order else SetNetwork
            return network(
                elements=self.context_elements,
                columns=width // self.context_elements,
                outputs=self.context_features or width,
                hidden=self.hidden[0],
                rng=self.rng,
                dtype=self.dtype,
            )
        if self.context_features is None:
            return tf.identity
        return self._dense(inputs=width, outputs=self.context_features, last_gain=1.0)

    def _dense(self, **options: Any) -> DenseNetwork:
        return DenseNetwork(
            hidden=self.hidden, rng=self.rng, dtype=self.dtype, compute_dtype=self.compute_dtype, **options
        )
