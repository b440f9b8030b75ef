"""Fit an ensemble of flows to arrays by the one training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_models.estimators.batches import RowBatches, Take, draw_by_weight, noise_of
from flow_models.estimators.members import TOGETHER, Member, key_of, machine
from flow_models.estimators.recipe import FEW, Recipe
from flow_models.estimators.rows import Arrays
from flow_models.estimators.side_by_side import Lane, lanes_for, side_by_side
from flow_models.estimators.start import centroids, shrunk, within_classes
from flow_models.seeds import seed_of
from flow_models.settings import TrainSettings
from flow_models.training import Outcome, TrainingData, batch_of, train_with

MOST_HELD_OUT = 10_000
FIRST = 20_000  # rows that correlations are taken from
FINENESS = 4  # draws by weight for each held-out row
NEVER = 1e9  # minutes between checkpoints: a fit leaves no files


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A member, how its training ended, and which rows it has not seen.

    Attributes:
        member: trained.
        outcome: of its training.
        held_out: numbers of the rows that decided which weights are kept.
    """

    member: Member
    outcome: Outcome
    held_out: NDArray[np.int64]


def fit(
    take: Take,
    n: int,
    recipe: Recipe,
    *,
    options: dict[str, Any],
    base: dict[str, Any] | None = None,
    weights: NDArray[np.float64] | None = None,
    validation_fraction: float,
    max_seconds: float | None,
    seed: int,
) -> list[Fitted]:
    """Train the members, each with other weights and other rows held out.

    Args:
        take: gives rows.
        n: how many there are.
        recipe: of the flows.
        options: of the architecture beside the recipe's.
        base: as ``FlowModel`` has it; None for N(0, I).
        weights: of the rows, ``(n,)``, positive: a row counts as its weight says in every mean, in training as in the
            held-out likelihood; None if all count alike.
        validation_fraction: of the rows, held out to decide which weights are kept.
        max_seconds: for all members together.
        seed: of weights, splits, batches and noise.
    """
    shape = {"layers": recipe.layers, "hidden": [recipe.hidden] * 2, "bins": recipe.bins, "seed": 0}
    shape |= {"whiten": True, "aligned": True}
    key = key_of("spline_coupling", {**shape, **options}, base or {"kind": "standard_normal"})
    # To compile a flow in every lane takes longer than to train it on few rows.
    lanes = lanes_for(recipe.members) if n >= FEW else 1
    seconds = None if max_seconds is None else max_seconds / math.ceil(recipe.members / lanes)

    def fit_one(index: int, lane: Lane) -> Fitted:
        return _fit_member(
            take,
            n,
            recipe,
            key,
            lane,
            weights=weights,
            validation_fraction=validation_fraction,
            seconds=seconds,
            seed=[seed, index],
        )

    return side_by_side(fit_one, recipe.members, lanes=lanes)


def _fit_member(
    take: Take,
    n: int,
    recipe: Recipe,
    key: str,
    lane: Lane,
    *,
    weights: NDArray[np.float64] | None,
    validation_fraction: float,
    seconds: float | None,
    seed: list[int],
) -> Fitted:
    compiled = machine(key, lane.number)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    held = _held_out(n, validation_fraction)
    holdout, rows = order[:held], np.sort(order[held:])
    settings, per_epoch = _settings(recipe, len(rows), seconds)
    known, measured = _looked_at(take, rows, holdout, weights, rng)
    classes = compiled.model.classes is not None
    first = within_classes(known) if classes else shrunk(known)
    batches = RowBatches(
        take=take,
        rows=rows,
        weights=weights,
        size=settings.batch_size,
        per_epoch=per_epoch,
        epochs=settings.epochs,
        noise=noise_of(known[:1] if classes else known, recipe.smoothing) if recipe.smoothing else None,
        seed=seed,
        lane=lane,
    )
    data = TrainingData(batches=batches, steps_per_epoch=per_epoch, holdout=batch_of(measured), first=batch_of(first))
    training = compiled.training(settings, steps=recipe.steps, runs=recipe.members, seed=seed_of(*seed))
    with training as stepper, TemporaryDirectory() as folder:
        if classes:
            compiled.model.initialise(*first)
            compiled.model.base.start_at(compiled.model.encode(centroids(*known)))
        outcome = train_with(
            stepper,
            data,
            settings,
            folder=Path(folder) / "model",
            checkpoints=Path(folder) / "checkpoints",
            title=f"flow {seed[1] + 1} of {recipe.members}",
        )
        return Fitted(member=Member(key, compiled.weights()), outcome=outcome, held_out=holdout)


def _settings(recipe: Recipe, rows: int, seconds: float | None) -> tuple[TrainSettings, int]:
    """Of the training loop; and the steps of an epoch, after which it looks at the held-out rows."""
    batch = min(recipe.batch, 2 ** int(math.log2(rows)))
    # In whole calls, a pass over the rows, but not too few or many.
    per_epoch = int(min(np.clip(round(rows / batch / TOGETHER), 1, 40) * TOGETHER, recipe.steps))
    epochs = math.ceil(recipe.steps / per_epoch)
    settings = TrainSettings(
        epochs=epochs,
        minutes=None if seconds is None else seconds / 60,
        batch_size=batch,
        optimizer="adamw",
        weight_decay=recipe.weight_decay,
        learning_rate=recipe.rate,
        warmup_steps=min(50, recipe.steps // 10),
        patience=epochs,
        clip_norm=10.0,
        averaging=0.98,
        checkpoint_minutes=NEVER,
    )
    return settings, per_epoch


def _looked_at(
    take: Take,
    rows: NDArray[np.int64],
    holdout: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> tuple[Arrays, Arrays]:
    """Rows that correlations are taken from, and those that the likelihood is measured on; by their weights."""
    some = rows if len(rows) <= FIRST else np.sort(rng.choice(rows, FIRST, replace=False))
    measured = holdout
    if weights is not None:
        some = rows[draw_by_weight(weights[rows], len(some), rng)]
        measured = holdout[draw_by_weight(weights[holdout], FINENESS * len(holdout), rng)]
    return take(some, rng), take(measured, rng)


def _held_out(n: int, fraction: float) -> int:
    """A power of two, for which nothing is compiled anew, next to the fraction of n."""
    wanted = min(max(fraction * n, 1.0), MOST_HELD_OUT, n / 2)
    return max(1, min(2 ** round(math.log2(wanted)), n - 1))
