"""Builders of bijectors from settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flow_models.architectures.glow import glow
from flow_models.architectures.vector import realnvp, spline_coupling
from flow_models.bijectors import FusedBijector

ARCHITECTURES: dict[str, Callable[..., FusedBijector]] = {
    "glow": glow,
    "realnvp": realnvp,
    "spline_coupling": spline_coupling,
}


def build(architecture: str, /, **options: Any) -> FusedBijector:
    """The bijector of an architecture by its name in ``params.yaml``.

    Raises:
        KeyError: if there is no such architecture.
    """
    return ARCHITECTURES[architecture](**options)
