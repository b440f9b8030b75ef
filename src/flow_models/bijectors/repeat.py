"""The same step many times over, each time with weights of its own: one graph whatever the depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector

Weights = Sequence[tf.Tensor]
Slot = tuple[Any, str | int]  # an owner and the attribute or the place in which it keeps a weight


class Repeat(FusedBijector):
    r"""Steps of one kind, with their weights stacked along a first axis ``[times, …]``.

    From data to latent, with ``g_k`` the step under the k-th slice of the weights:

    - inverse:  ``z = g_K⁻¹(… g_2⁻¹(g_1⁻¹(x)))``
    - forward:  ``x = g_1(g_2(… g_K(z)))``
    - log-det:  the sum over the steps, each at its own input

    Shapes: ``[batch, *event_shape]`` to the same.

    Args:
        make_step: builds one step; called ``times`` times, for their starting weights.
        times: how many steps.
        reversible: run the steps as a loop, and in the gradient recompute each step's input by
            inverting it instead of keeping it: memory and graph do not grow with ``times``
            (Gomez et al. 2017, "The reversible residual network", algorithm 1). Otherwise the
            steps stand in the graph one after the other and every activation is kept: faster.
    """

    def __init__(
        self, make_step: Callable[[], FusedBijector], *, times: int, reversible: bool = False, name: str = "repeat"
    ) -> None:
        steps = [make_step() for _ in range(times)]
        first = steps[0]
        shape = first.data_shape
        super().__init__(latent_shape=shape, data_shape=shape, dtype=first.dtype, name=name)
        self._times, self._reversible = times, reversible
        slots = list(_slots(first))
        # Behind a function, so that the step's own variables are neither trained nor saved.
        self._step: Callable[[], tuple[FusedBijector, list[Slot]]] = lambda: (first, slots)
        self._weights = [_stacked(same) for same in zip(*(_variables(step) for step in steps), strict=True)]

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and the sum of the log-dets, ``[batch]``."""
        weights = [tf.convert_to_tensor(stacked) for stacked in self._weights]
        if self._reversible:
            return self._reversible_inverse(x, *weights)
        total = _no_log_det(x)
        for own in _unstacked(weights):
            x, log_det = self._one_inverse(x, own)
            total += log_det
        return x, total

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and the sum of the log-dets, ``[batch]``."""
        weights = [tf.convert_to_tensor(stacked) for stacked in self._weights]
        if self._reversible:
            return self._looped_forward(z, weights)
        total = _no_log_det(z)
        for own in reversed(_unstacked(weights)):
            z, log_det = self._one_forward(z, own)
            total += log_det
        return z, total

    def initialise(self, x: tf.Tensor) -> tf.Tensor:
        """Initialise the steps in turn, from the data side."""
        step, _ = self._step()
        variables = _variables(step)
        initialised = []
        for index in range(self._times):
            for variable, stacked in zip(variables, self._weights, strict=True):
                variable.assign(stacked[index])
            x = step.initialise(x)
            initialised.append([variable.read_value() for variable in variables])
        # As a whole: a slice of a variable that has copies on other devices cannot be assigned.
        for stacked, same in zip(self._weights, zip(*initialised, strict=True), strict=True):
            stacked.assign(tf.stack(same))
        return x

    def _one_inverse(self, x: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        step, slots = self._step()
        with _bound(slots, weights):
            return step.inverse_and_log_det(x)

    def _one_forward(self, z: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        step, slots = self._step()
        with _bound(slots, weights):
            return step.forward_and_log_det(z)

    def _reversible_inverse(self, x: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        @tf.custom_gradient
        def inverse(x: tf.Tensor, *weights: tf.Tensor) -> Any:
            z, log_det = self._looped_inverse(x, weights)

            def gradient(dz: tf.Tensor, d_log_det: tf.Tensor) -> tuple[tf.Tensor, ...]:
                return self._looped_gradient(z, dz, d_log_det, weights)

            return (z, log_det), gradient

        return inverse(x, *weights)

    def _looped_inverse(self, x: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        def body(index: tf.Tensor, x: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
            z, log_det = self._one_inverse(x, [stacked[index] for stacked in weights])
            return index + 1, tf.ensure_shape(z, x.shape), total + log_det

        state = (tf.constant(0), x, _no_log_det(x))
        _, z, total = _loop(lambda index, *_: index < self._times, body, state)
        return z, total

    def _looped_forward(self, z: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        def body(index: tf.Tensor, z: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
            x, log_det = self._one_forward(z, [stacked[index] for stacked in weights])
            return index - 1, tf.ensure_shape(x, z.shape), total + log_det

        state = (tf.constant(self._times - 1), z, _no_log_det(z))
        _, x, total = _loop(lambda index, *_: index >= 0, body, state)
        return x, total

    def _looped_gradient(
        self, z: tf.Tensor, dz: tf.Tensor, d_log_det: tf.Tensor, weights: Weights
    ) -> tuple[tf.Tensor, ...]:
        """Gradients with respect to ``x`` and each stacked weight, from the latent side back to the data."""

        def body(index: tf.Tensor, z: tf.Tensor, dz: tf.Tensor, *gradients: tf.TensorArray) -> tuple[Any, ...]:
            own = [stacked[index] for stacked in weights]
            step, slots = self._step()
            with _bound(slots, own):
                x, dx, d_own = step.recompute_gradient(z, dz, d_log_det, own)
            written = [
                array.write(index, tf.zeros_like(weight) if each is None else each)
                for array, weight, each in zip(gradients, own, d_own, strict=True)
            ]
            return index - 1, tf.ensure_shape(x, z.shape), tf.ensure_shape(dx, z.shape), *written

        arrays = [tf.TensorArray(each.dtype, self._times, element_shape=each.shape[1:]) for each in weights]
        state = (tf.constant(self._times - 1), z, dz, *arrays)
        _, _, dx, *gradients = _loop(lambda index, *_: index >= 0, body, state)
        return dx, *(array.stack() for array in gradients)


def _loop(condition: Callable[..., tf.Tensor], body: Callable[..., tuple[Any, ...]], state: tuple[Any, ...]) -> Any:
    """One iteration after the other: TensorFlow would let ten overlap, and keep the activations of all of them."""
    return tf.while_loop(condition, body, state, parallel_iterations=1)


def _no_log_det(x: tf.Tensor) -> tf.Tensor:
    return tf.zeros(tf.shape(x)[:1], x.dtype)


def _unstacked(weights: Weights) -> list[Weights]:
    """Those of each step. Not slices: the gradient of a slice is a padded copy of the whole, for every step."""
    return list(zip(*(tf.unstack(stacked) for stacked in weights), strict=True))


def _stacked(variables: Sequence[tf.Variable]) -> tf.Variable:
    first = variables[0]
    name = first.name.partition(":")[0]
    return tf.Variable(tf.stack(variables), trainable=first.trainable, name=name)


def _variables(module: tf.Module) -> list[tf.Variable]:
    return [_get(slot) for slot in _slots(module)]


def _slots(owner: Any) -> Iterator[Slot]:
    """Where a module and the modules in it keep their variables, in the order of their definition."""
    places = enumerate(owner) if isinstance(owner, list) else list(vars(owner).items())
    for place, content in places:
        if isinstance(content, tf.Variable):
            yield owner, place
        elif isinstance(content, list) or (isinstance(content, tf.Module) and content is not owner):
            yield from _slots(content)


def _get(slot: Slot) -> Any:
    owner, place = slot
    return owner[place] if isinstance(place, int) else getattr(owner, place)


def _set(slot: Slot, value: Any) -> None:
    owner, place = slot
    if isinstance(place, int):
        owner[place] = value
    else:
        object.__setattr__(owner, place, value)


@contextmanager
def _bound(slots: Sequence[Slot], weights: Weights) -> Iterator[None]:
    """Let a step compute with these tensors in the place of its variables."""
    own = [_get(slot) for slot in slots]
    try:
        for slot, weight in zip(slots, weights, strict=True):
            _set(slot, weight)
        yield
    finally:
        for slot, variable in zip(slots, own, strict=True):
            _set(slot, variable)
