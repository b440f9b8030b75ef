"""Glow: a multi-scale flow for images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from flow_models.architectures.vector import realnvp
from flow_models.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    Dequantiser,
    Flatten,
    FusedBijector,
    GlowStep,
    InvertibleConv,
    MultiScale,
    Repeat,
    Rescale,
    Squeeze,
)
from flow_models.bijectors.networks import ConvNetwork

Shape = tuple[int, int, int]


def glow(  # noqa: PLR0913 - each is a setting or a type of its own
    *,
    image_shape: Shape,
    levels: int,
    steps: int,
    hidden_channels: int,
    dense_layers: int = 0,
    noise_channels: int = 0,
    seed: int = 0,
    dtype: tf.DType = tf.float32,
    compute_dtype: tf.DType | None = None,
    reversible: bool = False,
) -> FusedBijector:
    """The bijector of Kingma & Dhariwal 2018 between 8-bit intensities and N(0, I).

    Each level squeezes, takes ``steps`` Glow steps, and ends in the prior of what it factors out;
    the last ends in an ActNorm, a learned Gaussian per channel. Unlike Glow's, the couplings' networks are told the
    place: what is usual in the middle of an image may be odd at its edge.

    With ``dense_layers`` the coarsest level then goes on as a vector through couplings that see all of the image at
    once, as in Mackowiak, Ardizzone et al. 2021: what an image is of, and not how it looks, is found there.

    Args:
        image_shape: height, width, channels; height and width a multiple of ``2 ** levels``.
        levels: of the multi-scale architecture.
        steps: per level.
        hidden_channels: of the coupling networks.
        dense_layers: couplings of the coarsest level as a vector; their hidden layers are as wide as it is.
        noise_channels: hidden ones of a ``Dequantiser`` before all else; 0: none, the noise stays uniform.
        seed: of the starting weights.
        dtype: of everything but what lies inside the coupling networks.
        compute_dtype: inside the coupling networks.
        reversible: recompute activations in the gradient instead of keeping them; see ``Repeat``.

    Returns:
        Data ``[batch, height, width, channels]`` in [0, 256), latent ``[batch, n]``.
    """
    parts = _Parts(hidden_channels, np.random.default_rng(seed), dtype, compute_dtype or dtype, reversible)
    built: list[FusedBijector] = []
    shape = image_shape
    for _ in range(levels - 1):
        built.append(parts.level(shape, steps=steps, prior=parts.coupling))
        height, width, channels = built[-1].latent_shape
        shape = (height, width, channels // 2)
    coarsest = parts.level(shape, steps=steps, prior=parts.actnorm)
    built.append(Chain([coarsest, *parts.dense(coarsest.latent_shape, layers=dense_layers)]))
    rescale = Rescale(event_shape=image_shape, scale=256.0, shift=128.0, dtype=dtype)
    return Chain([*parts.dequantiser(image_shape, hidden=noise_channels), rescale, MultiScale(built)], name="glow")


def glow_activation_bytes(
    *,
    image_shape: Shape,
    levels: int,
    steps: int,
    hidden_channels: int,
    noise_channels: int = 0,
    compute_dtype: tf.DType = tf.float32,
    **_: Any,
) -> float:
    """What a training step keeps of one image for its gradient, if nothing is recomputed.

    A position of a step keeps 6.5 numbers a channel in float32, and 2.3 a hidden channel in the networks' type:
    measured with ``benchmarks.memory`` at 12 channels, 32 and 128 hidden channels, in float32 and bfloat16. A pixel
    of the noise keeps 28 a channel, and 1.9 a hidden channel of each of its layers: so grew the process with the batch,
    to 15 %, in both types at 32 and 64 hidden channels.
    """
    height, width, channels = image_shape
    a_pixel = 28 * 4 * channels + 1.9 * compute_dtype.size * noise_channels * (2 + channels)
    total = height * width * a_pixel if noise_channels else 0.0
    for _level in range(levels):
        height, width, channels = height // 2, width // 2, channels * 4
        a_position = 6.5 * 4 * channels + 2.3 * compute_dtype.size * hidden_channels
        total += steps * height * width * a_position
        channels //= 2
    return total


@dataclass(frozen=True)
class _Parts:
    """What the parts of one Glow have in common."""

    hidden_channels: int
    rng: np.random.Generator
    dtype: tf.DType
    compute_dtype: tf.DType
    reversible: bool

    def level(
        self, data_shape: Shape, *, steps: int, prior: Callable[[tuple[int, ...]], FusedBijector]
    ) -> FusedBijector:
        squeeze = Squeeze(data_shape=data_shape, dtype=self.dtype)
        shape = squeeze.latent_shape
        glow_steps = Repeat(lambda: self.step(shape), times=steps, reversible=self.reversible)
        return Chain([squeeze, glow_steps, prior(shape)], name="level")

    def dense(self, shape: tuple[int, ...], *, layers: int) -> list[FusedBijector]:
        if not layers:
            return []
        flat = Flatten(data_shape=shape, dtype=self.dtype)
        (features,) = flat.latent_shape
        couplings = realnvp(
            features=features,
            layers=layers,
            hidden=[features, features],
            standardise=False,
            seed=int(self.rng.integers(2**31)),
            dtype=self.dtype,
            compute_dtype=self.compute_dtype,
        )
        return [flat, couplings]

    def dequantiser(self, shape: Shape, *, hidden: int) -> list[FusedBijector]:
        if not hidden:
            return []
        types = {"dtype": self.dtype, "compute_dtype": self.compute_dtype}
        return [Dequantiser(event_shape=shape, hidden=hidden, rng=self.rng, **types)]

    def actnorm(self, shape: tuple[int, ...]) -> ActNorm:
        return ActNorm(event_shape=shape, dtype=self.dtype)

    def step(self, shape: tuple[int, ...]) -> FusedBijector:
        return GlowStep(
            actnorm=self.actnorm(shape),
            conv=InvertibleConv(event_shape=shape, rng=self.rng, dtype=self.dtype),
            coupling=self.coupling(shape),
        )

    def coupling(self, shape: tuple[int, ...]) -> AffineCoupling:
        passed = shape[-1] // 2
        network = ConvNetwork(
            inputs=passed,
            outputs=2 * (shape[-1] - passed),
            hidden=self.hidden_channels,
            places=(shape[0], shape[1]),
            rng=self.rng,
            dtype=self.dtype,
            compute_dtype=self.compute_dtype,
        )
        return AffineCoupling(event_shape=shape, passed=passed, network=network, dtype=self.dtype)
