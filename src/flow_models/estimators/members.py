"""Compiled flows, one for all estimators of one shape; and the weights that make a flow a member of an ensemble."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from flow_models.estimators.rows import AT_ONCE
from flow_models.model import DESCRIPTION, FlowModel
from flow_models.seeds import seed_of
from flow_models.settings import TrainSettings
from flow_models.training.precision import compute_of_vectors
from flow_models.training.step import Stepper

KEPT = 32  # compiled flows
TOGETHER = 10  # steps in one call of what XLA compiled
Rows = NDArray[np.float32]


class Machine:
    """A flow of one shape with all that TensorFlow compiles for it, whoever's weights it holds.

    To trace a training step takes a second, and most fits of small tables take less. Estimators hold
    weights as arrays, so that they can be copied and pickled, and lend them to the machine of their shape.

    Args:
        key: what the flow is made of, as ``key_of`` gives it.
    """

    def __init__(self, key: str) -> None:
        self._made_of = json.loads(key)
        self.model = FlowModel(**self._made_of)
        self._lock = threading.RLock()
        self._held: Sequence[NDArray[Any]] | None = None
        self._steppers: dict[tuple[float, ...], Stepper] = {}

    @contextmanager
    def holding(self, weights: Sequence[NDArray[Any]]) -> Iterator[FlowModel]:
        """The model with these weights, for one thread at a time."""
        with self._lock:
            if self._held is not weights:
                for variable, value in zip(self.model.variables, weights, strict=True):
                    variable.assign(value)
                self._held = weights
            yield self.model

    @contextmanager
    def training(self, settings: TrainSettings, *, steps: int, runs: int, seed: int) -> Iterator[Stepper]:
        """A stepper at its start, the networks' weights drawn by ``seed``; only the orders of elements are shared.

        ``runs`` of so many ``steps`` at most are to come, by which it is decided what compiles a step.
        """
        options = {**self._made_of["options"], "seed": seed}
        fresh = FlowModel(**{**self._made_of, "options": options})
        xla = compute_of_vectors(settings, steps=steps, runs=runs).xla
        kind = (settings.clip_norm, settings.weight_decay, settings.averaging, xla)
        with self.holding([each.numpy() for each in fresh.variables]):
            self._held = None
            if kind not in self._steppers:
                self._steppers[kind] = Stepper(self.model, settings, seed=0, xla=xla, together=TOGETHER if xla else 1)
            stepper = self._steppers[kind]
            stepper.restart()
            yield stepper

    def weights(self) -> list[NDArray[np.float32]]:
        """A copy of those that the model holds."""
        return [each.numpy() for each in self.model.variables]


@lru_cache(maxsize=KEPT)
def machine(key: str, lane: int = 0) -> Machine:
    """The one of this shape; every lane has its own, for what trains side by side."""
    del lane  # it only tells one from another
    return Machine(key)


def key_of(architecture: str, options: dict[str, Any], base: dict[str, Any]) -> str:
    """What a flow is made of, as text."""
    return json.dumps({"architecture": architecture, "options": options, "base": base}, sort_keys=True)


@dataclass(frozen=True, eq=False)
class Member:
    """A trained flow.

    Attributes:
        key: what it is made of.
        weights: of the model's variables, in their order.
    """

    key: str
    weights: list[NDArray[np.float32]]

    def log_prob(self, v: Rows, context: Rows | None = None) -> NDArray[np.float64]:
        """``log p(v)``, or given the context, in nats, ``(n,)``."""
        return self._apply("log_prob", v, context)

    def joint_log_prob(self, v: Rows) -> NDArray[np.float64]:
        """``log p(v, c)`` of every class in nats, ``(n, classes)``."""
        return self._apply("joint_log_prob", v, None)

    def encode(self, v: Rows) -> NDArray[np.float64]:
        """The latents, ``(n, p)``."""
        return self._apply("encode", v, None)

    def decode(self, z: Rows) -> NDArray[np.float64]:
        """Rows from latents, ``(n, p)``."""
        return self._apply("decode", z, None)

    def sample(
        self, number: int, *, seed: int, context: Rows | None = None, of: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Draw ``(number, p)``, each at the row of the context that ``of``, ``(number,)``, names, if there is one."""
        with machine(self.key).holding(self.weights) as model:
            parts = []
            for part, start in enumerate(range(0, number, AT_ONCE)):
                stop = min(start + AT_ONCE, number)
                own = seed_of(seed, part)
                rows = None if context is None or of is None else context[of[start:stop]]
                parts.append(np.asarray(model.sample(stop - start, context=rows, seed=own), np.float64))
        return np.concatenate(parts) if parts else np.empty((0, model.dimensions))

    def sample_alike(self, number: int, *, seed: int, context: Rows) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Draw ``(n, number, p)``, as many at each row of the context, all from the same latents.

        By parts, for of many rows they would not fit into memory: which rows, and their draws.
        """
        width = json.loads(self.key)["options"]["features"]
        noise = np.random.default_rng(seed).standard_normal((number, width)).astype(np.float32)
        at_once = max(1, AT_ONCE // number)
        for start in range(0, len(context), at_once):
            part = slice(start, start + at_once)
            rows = np.repeat(context[part], number, axis=0)
            latents = np.tile(noise, (len(rows) // number, 1))
            yield part, self._apply("decode", latents, rows).reshape(-1, number, width)

    def save(self, folder: Path) -> None:
        """As ``FlowModel.save`` writes it."""
        with machine(self.key).holding(self.weights) as model:
            model.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Member:
        """What ``save`` wrote.

        Raises:
            FlowModelsError: if the folder holds no model, or a damaged one.
        """
        model = FlowModel.load(folder)
        made_of = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        key = key_of(made_of["architecture"], made_of["options"], made_of["base"])
        return cls(key, [each.numpy() for each in model.variables])

    def _apply(self, function: str, rows: Rows, context: Rows | None) -> NDArray[np.float64]:
        with machine(self.key).holding(self.weights) as model:
            parts = [slice(start, start + AT_ONCE) for start in range(0, len(rows), AT_ONCE)]
            call = getattr(model, function)
            given = [] if context is None else [context]
            return np.concatenate(
                [np.asarray(call(*(tf.constant(each[part]) for each in (rows, *given))), np.float64) for part in parts]
            )


class Density(Protocol):
    """Whatever has a share in a mean of densities: a flow, or another kind."""

    def log_prob(self, v: Rows, context: Rows | None = None) -> NDArray[np.float64]:
        """``log p(v)``, or given the context, in nats, ``(n,)``."""

    def sample(
        self, number: int, *, seed: int, context: Rows | None = None, of: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Draw ``(number, p)``, each at the row of the context that ``of``, ``(number,)``, names, if there is one."""


def ensemble_log_prob(
    members: Sequence[Density], v: Rows, context: Rows | None = None, *, shares: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """``log Σ w_k p_k(v)``: the mean of the members' densities by their shares, ``(n,)``; equal ones if None."""
    each = np.stack([member.log_prob(v, context) for member in members])
    weights = np.full(len(members), 1 / len(members)) if shares is None else shares
    return np.asarray(np.logaddexp.reduce(each + np.log(weights)[:, None], axis=0))


def ensemble_sample(
    members: Sequence[Density],
    number: int,
    width: int,
    *,
    seed: int,
    context: Rows | None = None,
    of: NDArray[np.int64] | None = None,
    shares: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Draw ``(number, width)`` from the mean of the members' densities: each row from a member by lot.

    Given a context, each is drawn at the row of it that ``of``, ``(number,)``, names.
    """
    own = np.random.default_rng(seed).choice(len(members), size=number, p=shares)
    drawn = np.empty((number, width))
    for index, member in enumerate(members):
        which = np.flatnonzero(own == index)
        if len(which):
            rows = None if of is None else of[which]
            drawn[which] = member.sample(len(which), seed=seed + index, context=context, of=rows)
    return drawn
