"""Fit an ensemble of flows to arrays: how large, how long, and by the one training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage

from flow_models.data.lanes import WHOLE, Share
from flow_models.estimators.members import TOGETHER, Member, key_of, machine
from flow_models.estimators.side_by_side import Lane, lanes_for, side_by_side
from flow_models.seeds import seed_of
from flow_models.settings import TrainSettings
from flow_models.training import Outcome, TrainingData, train_with

Arrays = tuple[NDArray[np.float32], ...]
# Rows by their numbers, as the flow takes them: v, and its context if it has one. The generator draws the noise.
Take = Callable[[NDArray[np.int64], np.random.Generator], Arrays]

FEWEST = 10  # rows, of which a mixture of Gaussians can be told
FEW = 2_000  # rows, below which a large ensemble is worth its time
MANY = 16_000  # rows, from which on a flow is as deep as it gets
MOST_HELD_OUT = 10_000
PLANE = 2  # columns, up to which a density has finer splines
FIRST = 20_000  # rows that correlations are taken from
FINENESS = 4  # draws by weight for each held-out row
NEVER = 1e9  # minutes between checkpoints: a fit leaves no files


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How large a flow is and how it is trained.

    Attributes:
        layers: couplings.
        hidden: units of each of the two hidden layers of the coupling networks.
        bins: of the splines.
        members: flows in the ensemble.
        batch: rows of a step.
        steps: along which the rate of learning falls to nothing.
        rate: of learning, at its peak.
        weight_decay: of the networks' kernels.
        mixtures: whether a density of rows has a mixture of Gaussians beside each flow, see ``DensityCore``.
        smoothing: deviation of the noise added to the rows at the start of training, in units of their own, times
            ``n^(-1/(p+4))``; it falls to nothing by the end. What fits noisy rows is smooth (Rothfuss et al. 2019,
            "Noise regularization for conditional density estimation"), and the held-out rows say how much is best.
    """

    layers: int
    hidden: int
    bins: int
    members: int
    batch: int
    steps: int
    rate: float
    weight_decay: float
    smoothing: float = 0.0
    mixtures: bool = False

    @classmethod
    def of(cls, n: int, p: int, m: int = 0) -> Recipe:
        """The one rule for all data: n rows of p columns, given m others.

        The coupling networks have ``16 √(n / 250)`` units, between 16 and 128; there are 4 couplings below 1,000
        rows, 6 below 16,000 and 8 above. Below 2,000 rows five flows are averaged, below 20,000 three, below 500,000
        two; from 10 to 20,000 a mixture of Gaussians goes with each. A step takes a quarter of the rows, up to 512;
        given others and below 16,000 rows up to 256, whose noise does what a decay does, in less time. The splines have
        8 bins; of one or two columns alone, of whose fine structure few rows can tell, 16, and half of the noise.

        Few steps at a high rate find smoother flows than many at a low one, which learn the rows by heart: ``15 √n``,
        between 1,000 and 20,000, at a rate of 0.012, from 10,000 rows on less by ``√(10000 / n)``. All are taken, for
        the held-out rows are often likeliest at the end, after they were less likely for long. The networks decay the
        more, the more numbers each takes: i of them, those given and half of the columns, by ``i² / 8``, at most 2;
        from 1,000 rows on less by ``√(1000 / n)``. Given others, there is a quarter of the noise: what it blurs is
        the narrow conditional density, not the wide one of all rows.
        """
        units = 16 * math.sqrt(n / 250)  # more columns would ask for more, but their density for more rows
        inputs = m + p / 2
        plane = m == 0 and p <= PLANE
        batch = 2 ** int(math.log2(np.clip(n / 4, 1, 256 if m and n < MANY else 512)))
        return cls(
            layers=4 if n < MANY / 16 else 6 if n < MANY else 8,
            hidden=8 * round(float(np.clip(units, 16, 128)) / 8),
            bins=16 if plane else 8,
            members=5 if n < FEW else 3 if n < 10 * FEW else 2 if n < 250 * FEW else 1,
            batch=batch,
            steps=int(np.clip(15 * math.sqrt(n), 1_000, 20_000)),
            rate=0.012 * min(1.0, math.sqrt(10_000 / n)),
            weight_decay=min(2.0, inputs**2 / 8) * min(1.0, math.sqrt(1_000 / n)),
            smoothing=0.15 if m else 0.3 if plane else 0.6,
            mixtures=FEWEST <= n < 10 * FEW,
        )

    def changed(self, **choices: Any) -> Recipe:
        """With what a user has chosen; None for what they have not."""
        return replace(self, **{name: value for name, value in choices.items() if value is not None})


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
    batch = min(recipe.batch, 2 ** int(math.log2(len(rows))))
    # Steps between two looks at the held-out rows: in whole calls, a pass over the rows, but not too few or many.
    per_epoch = int(min(np.clip(round(len(rows) / batch / TOGETHER), 1, 40) * TOGETHER, recipe.steps))
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

    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[Any]:
        own = np.random.default_rng([*seed, epoch])
        number = per_epoch * batch
        if weights is not None:
            chosen = rows[draw_by_weight(weights[rows], number, own)]
        elif number <= len(rows):
            chosen = own.choice(rows, number, replace=False)
        else:
            again = math.ceil(number / len(rows))
            chosen = np.concatenate([own.permutation(rows) for _ in range(again)])[:number]
        arrays = take(chosen, own)
        if recipe.smoothing:
            arrays = _smoothed(arrays, spread, own, left=1 - epoch / epochs)
        for start in range(skip * batch, number, batch):
            lane.go_on()
            yield _alone([tf.constant(each[start : start + batch][share.rows(batch)]) for each in arrays])

    own_seed = seed_of(*seed)
    some = rows if len(rows) <= FIRST else np.sort(rng.choice(rows, FIRST, replace=False))
    measured = holdout
    if weights is not None:
        some = rows[draw_by_weight(weights[rows], len(some), rng)]
        measured = holdout[draw_by_weight(weights[holdout], FINENESS * held, rng)]
    known = take(some, rng)
    classes = compiled.model.classes is not None
    spread = _noise_of(known[:1] if classes else known, recipe.smoothing)
    first = _within_classes(known) if classes else shrunk(known)
    data = TrainingData(
        batches=batches,
        steps_per_epoch=per_epoch,
        holdout=_alone(take(measured, rng)),
        first=_alone(first),
    )
    training = compiled.training(settings, steps=recipe.steps, runs=recipe.members, seed=own_seed)
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


def draw_by_weight(weights: NDArray[np.float64], number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many numbers of rows in random order, each as often as its share of the weights says.

    A row comes up ``number · w / Σ w`` times, rounded up or down so that this is its mean: systematic resampling
    (Kitagawa 1996, appendix). Unlike factors of the loss, it leaves every step as many rows of equal influence.
    """
    points = (np.arange(number) + rng.uniform()) / number
    ends = np.cumsum(weights) / weights.sum()
    return rng.permutation(np.minimum(np.searchsorted(ends, points, side="right"), len(weights) - 1))


def effective_rows(weights: NDArray[np.float64]) -> int:
    """As many rows of one weight would tell as much of a mean: ``(Σ w)² / Σ w²`` (Kish 1965)."""
    return max(2, round(float(weights.sum() ** 2 / (weights**2).sum())))


def shrunk(arrays: Arrays) -> Arrays:
    """The rows, with some about their mean for which the correlations shrink as Ledoit & Wolf 2004 have it.

    Correlations of few rows are noise, and a direction in which they do not vary would have no width: rows are added
    at ``mean ± c e_j``, so that the covariance becomes ``(1 - λ) S + λ μ I`` up to its scale, with λ the shrinkage
    that is best in expectation. Those of the context likewise, so that a regression on it is one with a ridge.
    """
    joint = np.hstack(arrays).astype(np.float64)
    n, width = joint.shape
    mean, deviation = joint.mean(axis=0), joint.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    share = float(ledoit_wolf_shrinkage((joint - mean) / deviation)) if n > 1 else 1.0
    share = np.clip(share, 1e-4, 0.9)
    # 2 rows a column, each at a distance c: they add 2 c² to a sum of squares of n.
    distance = np.sqrt(n * share / (1 - share) / 2)
    steps = np.vstack([np.eye(width), -np.eye(width)]) * distance * deviation
    scale = np.sqrt((n + len(steps)) * (1 - share) / n)  # the deviation stays what it was
    added = np.vstack([(joint - mean) * scale, steps * scale]) + mean
    return tuple(np.split(added.astype(np.float32), np.cumsum([each.shape[1] for each in arrays])[:-1], axis=1))


def centroids(v: NDArray[np.float32], of_class: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean row of each class, ``(k, p)``, shrunk to that of all as if by one row; of_class: one-hot rows."""
    overall = v.mean(axis=0)
    means = (of_class.T @ v + overall) / (of_class.sum(axis=0)[:, None] + 1)
    return np.asarray(means, np.float32)


def _within_classes(arrays: Arrays) -> Arrays:
    """Rows about their class's mean: whitened by these, a flow that is still the identity is Fisher's discriminant."""
    v, of_class = arrays
    (within,) = shrunk((v - of_class @ centroids(v, of_class) + v.mean(axis=0),))
    return within, np.zeros((len(within), of_class.shape[1]), np.float32)


def _noise_of(arrays: Arrays, smoothing: float) -> NDArray[np.float64]:
    """A matrix that makes normal rows into noise with the correlations of the rows, contexts included.

    Noise with correlations of its own leaves a linear relation between context and v what it is.
    """
    joint = np.hstack(arrays).astype(np.float64)
    n, width = joint.shape
    values, vectors = np.linalg.eigh(np.cov(joint.T, bias=True).reshape(width, width))
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return np.asarray(smoothing * n ** (-1 / (width + 4)) * root)


def _smoothed(arrays: Arrays, spread: NDArray[np.float64], rng: np.random.Generator, *, left: float) -> Arrays:
    """The rows with the noise that is left of that of the first epoch; classes as they are."""
    noise = left * rng.standard_normal((len(arrays[0]), len(spread))) @ spread
    own, of_context = noise[:, : arrays[0].shape[1]], noise[:, arrays[0].shape[1] :]
    noisy = (arrays[0] + own, *(each + of_context if of_context.size else each for each in arrays[1:]))
    return tuple(each.astype(np.float32) for each in noisy)


def _held_out(n: int, fraction: float) -> int:
    """A power of two, for which nothing is compiled anew, next to the fraction of n."""
    wanted = min(max(fraction * n, 1.0), MOST_HELD_OUT, n / 2)
    return max(1, min(2 ** round(math.log2(wanted)), n - 1))


def _alone(arrays: Any) -> Any:
    return tuple(arrays) if len(arrays) > 1 else arrays[0]
