"""Posterior samples of a trained model, and what an observation must be for it to answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_models.data.tables import Rows
from flow_models.errors import FlowModelsError
from flow_models.evaluation.novelty import Seen
from flow_models.seeds import seed_of

if TYPE_CHECKING:
    from flow_models.model import FlowModel

logger = logging.getLogger(__name__)

AT_ONCE = 2**15  # samples; the couplings' networks hold some hundreds of numbers for each


@dataclass(frozen=True, kw_only=True)
class Posteriors:
    """Samples of the posteriors of observations whose truth is known.

    Attributes:
        x: samples, ``(n, draws, p)``.
        truth: the parameters that caused each observation, ``(n, p)``.
        y: the observations, ``(n, m)``.
        log_prob: of each sample at its own posterior, ``(n, draws)``, nats; of the data side, so with ε if there is.
        log_prob_truth: of each truth, ``(n,)``, likewise.
    """

    x: NDArray[np.float64]
    truth: NDArray[np.float64]
    y: NDArray[np.float64]
    log_prob: NDArray[np.float64]
    log_prob_truth: NDArray[np.float64]


def sample_posterior(
    model: FlowModel, observations: ArrayLike, number: int, *, seed: int = 0, temperature: float = 1.0
) -> NDArray[np.float64]:
    """Samples of ``p(x | y)`` at each observation; warns of those outside anything seen in training.

    Args:
        model: conditional on observations.
        observations: y, ``(n, m)`` or one of ``(m,)``.
        number: samples of each.
        seed: the same seed gives the same samples.
        temperature: of the latent draw.

    Returns:
        ``(n, number, p)``.

    Raises:
        FlowModelsError: if an observation has another width than the model's, or is not finite.
    """
    y = observed(model, observations)
    for warning in warnings_about(model, y):
        logger.warning(warning)
    data = draw(model, y, number, seed=seed, temperature=temperature)
    return np.asarray(model.partition.split_data(data)[0])


def observed(model: FlowModel, observations: ArrayLike) -> NDArray[np.float32]:
    """Observations as the model reads them, ``(n, m)``.

    Raises:
        FlowModelsError: if the model knows of none, or they have another width, or one is not finite.
    """
    if model.context_width is None or model.classes is not None:
        raise FlowModelsError("this model is not conditional on observations; sample it instead")
    names = model.about.get("y") or [f"y_{index}" for index in range(1, model.context_width + 1)]
    y = np.atleast_2d(np.asarray(observations, np.float32))
    if y.ndim != len("nm") or y.shape[1] != model.context_width:
        raise FlowModelsError(
            f"an observation has {y.shape[-1]} values, but the model was trained on {model.context_width}: "
            f"{', '.join(names)}; bring those, in that order"
        )
    bad = np.argwhere(~np.isfinite(y))
    if len(bad):
        row, column = bad[0]
        raise FlowModelsError(
            f"observation {row}: {names[column]} is {y[row, column]}; a posterior needs all values: measure it, or "
            "leave the observation out"
        )
    return y


def warnings_about(model: FlowModel, observations: ArrayLike) -> list[str]:
    """One line for each observation ``(n, m)`` that lies outside anything seen in training."""
    seen = model.about.get("seen")
    return [] if seen is None else Seen.from_json(seen).warnings(observations, model.about["y"])


def draw(
    model: FlowModel, y: NDArray[np.float32], number: int, *, seed: int, temperature: float = 1.0
) -> NDArray[np.float64]:
    """``number`` samples of the data side, x and ε if there is, at each row of ``y``: ``(n, number, width)``."""
    samples = np.empty((len(y) * number, model.dimensions), np.float64)
    for part, start in enumerate(range(0, len(samples), AT_ONCE)):
        which = np.arange(start, min(start + AT_ONCE, len(samples)))
        # Parts of one size would all get the same noise from one seed.
        own = seed_of(seed, part)
        samples[which] = model.sample(len(which), context=y[which // number], seed=own, temperature=temperature)
    return samples.reshape(len(y), number, model.dimensions)


def posteriors_of(model: FlowModel, rows: Rows, *, draws: int, seed: int) -> Posteriors:
    """Posterior samples at the observations of rows that took no part in training, beside their truths.

    Raises:
        FlowModelsError: if the rows' observations are not those of the model.
    """
    y = observed(model, rows.y)
    samples = draw(model, y, draws, seed=seed)
    flat = samples.reshape(-1, model.dimensions).astype(np.float32)
    return Posteriors(
        x=np.asarray(model.partition.split_data(samples)[0]),
        truth=rows.x.astype(np.float64),
        y=y.astype(np.float64),
        log_prob=log_prob(model, flat, np.repeat(y, draws, axis=0)).reshape(len(y), draws),
        log_prob_truth=log_prob(model, data_side(model, rows), y),
    )


def data_side(model: FlowModel, rows: Rows) -> NDArray[np.float32]:
    """What the model maps: x, and ε beside it if the model has it, ``(n, width)``."""
    return np.hstack([rows.x, rows.noise]) if model.partition.noise else rows.x


def log_prob(model: FlowModel, data: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """``log p(data | y)`` in nats, ``(n,)``, some rows at a time."""
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(data), AT_ONCE)]
    return np.concatenate([np.asarray(model.log_prob(data[part], y[part]), np.float64) for part in parts])


def latents_of_truths(model: FlowModel, rows: Rows) -> NDArray[np.float64]:
    """Where the model sends the rows given their observations: N(0, I) if it is right, ``(n, width)``."""
    data, y = data_side(model, rows), rows.y
    latent = model.encode(data) if model.bijector.context_width is None else model.encode(data, y)
    return np.asarray(model.base.noise_of(latent, y), np.float64)
