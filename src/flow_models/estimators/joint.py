"""Prior and simulator in one: pairs and the prior's support from a joint distribution of TensorFlow Probability.

Nothing of TFP is imported: whatever samples and names its parts as a ``JointDistribution`` does will do.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from flow_models.estimators.simulations import Array, Simulated
from flow_models.estimators.support import Bounds

FAR = 1e30  # on the real line, from which on a bounded variable stays at its bound
ALIKE = 1e-6
PLACES = 2  # of the other variables, at which a bound must be the same to be one


def draw_pairs(joint: Any, observed: Sequence[Any], number: int, *, seed: int) -> tuple[Simulated, list[str]]:
    """Pairs of parameters and observations, and the parameters' names: ``rate``, ``slopes[0]``, ``slopes[1]``.

    Args:
        joint: a ``JointDistribution`` whose parts are named, or numbered.
        observed: the parts that are observed, in this order the columns of an observation; all others are parameters.
        number: of pairs.
        seed: of all random numbers.

    Raises:
        ValueError: if a part has another name, nothing is left to infer, or fewer than two pairs are finite.
    """
    # In a function of its own an integer seed repeats; as a tensor it would make autobatched distributions loop.
    sampled = _named(tf.function(lambda: joint.sample(number, seed=seed))())
    drawn = {name: np.asarray(values, np.float64) for name, values in sampled.items()}
    unknown = [each for each in observed if each not in drawn]
    hidden = [name for name in drawn if name not in observed]
    if unknown or not observed or not hidden:
        raise ValueError(
            f"observed must be some of the parts {list(drawn)} of the joint distribution, and not all; got {observed!r}"
        )
    # One part alone keeps its shape, which may be that of a set or a series.
    parameters, observations = _table(drawn, hidden, number), _table(drawn, observed, number)
    names = [name for part in hidden for name in _columns(part, drawn[part])]
    if len(observed) == 1 and drawn[observed[0]].ndim > 1:
        observations = drawn[observed[0]]
    return Simulated.of(parameters, observations), names


def prior_support(joint: Any, observed: Sequence[Any]) -> list[Bounds]:
    """Lower and upper bound of each parameter, as the distributions of the parts tell.

    A value far out on the real line, which the bijector onto a part's event space maps, is the bound of the part if it
    is no other twice as far out, nor at other values of the other parts. Discrete parts have no bijector and no bound;
    of others without one it warns.
    """
    places = [_named(joint.sample_distributions(seed=seed)[0]) for seed in range(PLACES)]
    support: list[Bounds] = []
    for name, one in places[0].items():
        if name in observed:
            continue
        try:
            ends = np.concatenate([_ends(place[name]) for place in places], axis=1)
            support += [_pair(low, high) for low, high in np.moveaxis(ends, -1, 0)]
        except Exception as error:  # noqa: BLE001 - whatever a distribution without a bijector raises
            warnings.warn(
                f"{name}: its distribution does not tell its bounds ({type(error).__name__}); samples may lie outside: "
                "state them by the parameter support of FlowPosterior",
                stacklevel=3,
            )
            support += [(None, None)] * math.prod(one.event_shape)
    return support


def _ends(part: Any) -> Array:
    """Values at both ends of the real line, twice each, ``(2, 2, elements)``."""
    bijector = part.experimental_default_event_space_bijector()
    if bijector is None:
        return np.full((2, 2, math.prod(part.event_shape)), np.nan)
    shape = bijector.inverse_event_shape(part.event_shape)
    ends = [bijector.forward(tf.fill(shape, tf.constant(each, part.dtype))) for each in (-FAR, -2 * FAR, FAR, 2 * FAR)]
    return np.array(ends, np.float64).reshape(2, 2, -1)


def _pair(one: Array, other: Array) -> Bounds:
    """Bounds of an element from its values at the two ends of the line: of a falling bijector the upper comes first."""
    found = {}
    for end, opposite in ((one, other), (other, one)):
        if np.isfinite(end).all() and np.ptp(end) <= ALIKE * (1 + abs(end[0])):
            found["low" if end[0] < opposite[0] else "high"] = float(end[0])
    return found.get("low"), found.get("high")


def _named(structure: Any) -> dict[Any, Any]:
    """The parts of a structure by their names, or by their numbers if they have none."""
    named = structure._asdict() if hasattr(structure, "_asdict") else structure
    return dict(named if isinstance(named, Mapping) else enumerate(named))


def _table(drawn: dict[Any, Array], names: Sequence[Any], number: int) -> Array:
    return np.hstack([drawn[name].reshape(number, -1) for name in names])


def _columns(part: Any, values: Array) -> list[str]:
    name = part if isinstance(part, str) else f"parameter_{part}"
    return [name + "".join(f"[{each}]" for each in index) for index in np.ndindex(values.shape[1:])]
