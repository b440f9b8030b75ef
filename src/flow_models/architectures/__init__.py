"""Builders of bijectors from settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flow_models.architectures.glow import glow, glow_activation_bytes
from flow_models.architectures.vector import realnvp, spline_coupling
from flow_models.bijectors import FusedBijector

ARCHITECTURES: dict[str, Callable[..., FusedBijector]] = {
    "glow": glow,
    "realnvp": realnvp,
    "spline_coupling": spline_coupling,
}

CONVOLUTIONAL = ("glow",)  # the networks of the others are dense

# Those whose steps can run as a loop that keeps no activations, and what one example's take otherwise, in bytes; the
# others have few to keep.
REVERSIBLE: dict[str, Callable[..., float]] = {"glow": glow_activation_bytes}


def build(architecture: str, /, *, reversible: bool = False, **options: Any) -> FusedBijector:
    """The bijector of an architecture by its name in ``params.yaml``.

    Args:
        architecture: a name in ``ARCHITECTURES``.
        reversible: recompute activations in the gradient where the architecture can; see ``Repeat``.
        options: of the architecture.

    Raises:
        KeyError: if there is no such architecture.
    """
    if architecture in REVERSIBLE:
        options["reversible"] = reversible
    return ARCHITECTURES[architecture](**options)


def activation_bytes(architecture: str, /, **options: Any) -> float:
    """What a training step keeps of one example for its gradient; 0 where recomputing it is not offered."""
    return REVERSIBLE[architecture](**options) if architecture in REVERSIBLE else 0.0
