"""An arm of three joints on a rail: where its end is, and which joints put it there (Kruse et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flow_models.errors import FlowModelsError
from flow_models.simulators.base import Array, Bounds

LENGTHS = np.array([0.5, 0.5, 1.0])
PRIOR_SCALE = np.array([0.25, 0.5, 0.5, 0.5])
WIDTH = 0.01  # of the benchmark's likelihood, in units of the arm
PROPOSALS = 200  # a sample: 1,000 samples of a typical target are then nearly all distinct
EFFECTIVE = 10  # a sample: fewer effective proposals than these are followed by more
MOST_ROUNDS = 50


class InverseKinematics:
    """Infer the joints of a planar arm from its end point.

    x: the height of the arm's start on a vertical rail and three angles, x ~ N(0, diag(0.25, 0.5, 0.5, 0.5)²).
    y: the end point (horizontal, vertical) of segments 0.5, 0.5 and 1 long, measured with noise N(0, σ²).

    Args:
        sigma: σ; 0 for exact end points. The benchmark's reference posterior is that of σ = 0.01.

    References:
        Kruse et al. 2021, "Benchmarking invertible architectures on inverse problems", section 3.1.
    """

    name = "inverse kinematics"
    parameters: Sequence[str] = ("height", "angle_1 (rad)", "angle_2 (rad)", "angle_3 (rad)")
    observations: Sequence[str] = ("end_horizontal", "end_vertical")
    support: Sequence[Bounds] | None = None

    def __init__(self, *, sigma: float = 0.0) -> None:
        self.sigma = sigma

    def draw_prior(self, number: int, rng: np.random.Generator) -> Array:
        """Joints, ``(number, 4)``."""
        return PRIOR_SCALE * rng.standard_normal((number, 4))

    def simulate(self, x: Array, rng: np.random.Generator) -> Array:
        """End points ``(n, 2)``."""
        return end_point(x) + self.sigma * rng.standard_normal((len(x), 2))


def arm_points(x: Array) -> Array:
    """Start, two elbows and end of the arm: ``(n, 4)`` to ``(n, 4, 2)``."""
    angles = np.cumsum(x[:, 1:], axis=1)
    start = np.stack([np.zeros(len(x)), x[:, 0]], axis=-1)
    steps = LENGTHS[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.cumsum(np.concatenate([start[:, None], steps], axis=1), axis=1)


def end_point(x: Array) -> Array:
    """Where joints ``(n, 4)`` put the end of the arm, ``(n, 2)``."""
    return arm_points(x)[:, -1]


def exact_posterior(y: Array, number: int, rng: np.random.Generator, *, sigma: float = WIDTH) -> Array:
    """Samples of p(x | y) ∝ N(x; 0, prior) · N(y; f(x), σ²), ``(number, 4)``.

    Importance resampling of :func:`weighted_joints`, with proposals added until their effective number is
    ten times ``number``, so that few samples occur twice.

    Args:
        y: one end point, ``(2,)``.
        number: how many samples.
        rng: of the proposals and of the resampling.
        sigma: width of the likelihood; the benchmark's rejection sampler has 0.01.

    Raises:
        FlowModelsError: if the arm can hardly reach y.
    """
    joints, weights = weighted_joints(y, PROPOSALS * number, rng, sigma=sigma)
    for _ in range(MOST_ROUNDS):
        if effective_number(weights) >= EFFECTIVE * number:
            return joints[rng.choice(len(joints), number, p=weights / weights.sum())]
        more = weighted_joints(y, PROPOSALS * number, rng, sigma=sigma)
        joints, weights = np.concatenate([joints, more[0]]), np.concatenate([weights, more[1]])
    raise FlowModelsError(
        f"the arm hardly ever ends at ({y[0]:.4g}, {y[1]:.4g}): {effective_number(weights):.0f} effective of "
        f"{len(weights)} proposals; choose an end point of the prior, or fewer than {number} samples"
    )


def effective_number(weights: Array) -> float:
    """(Σw)² / Σw², the number of equally weighted draws that are worth as much."""
    return float(weights.sum() ** 2 / np.maximum((weights**2).sum(), np.finfo(float).tiny))


def log_evidence(y: Array, rng: np.random.Generator, *, proposals: int = 4000, sigma: float = WIDTH) -> Array:
    """``log p(y)`` of end points ``(n, 2)`` with noise N(0, σ²), ``(n,)``; an estimate, to a few per cent each."""
    sums = [weighted_joints(each, proposals, rng, sigma=sigma)[1].sum() for each in y]
    # Both branches of a draw count, each where it lies: the sum of weights over half the proposals is the integral.
    with np.errstate(divide="ignore"):
        return np.log(np.array(sums) / (proposals // 2))


def exact_log_prob(x: Array, y: Array, rng: np.random.Generator, *, sigma: float = WIDTH) -> Array:
    """``log p(x | y)`` in nats of joints ``(n, 4)`` at end points ``(n, 2)`` with noise N(0, σ²), ``(n,)``.

    By Bayes' rule: prior and likelihood are exact, the evidence is that of :func:`log_evidence`.
    """
    prior = np.log(_prior_density(x, slice(0, 2)) * _prior_density(x, slice(2, 4)))
    miss = ((end_point(x) - y) ** 2).sum(axis=1) / sigma**2
    return prior - miss / 2 - np.log(2 * np.pi * sigma**2) - log_evidence(y, rng, sigma=sigma)


def weighted_joints(y: Array, proposals: int, rng: np.random.Generator, *, sigma: float = WIDTH) -> tuple[Array, Array]:
    """Joints whose weighted distribution is the posterior at y: ``(k, 4)`` and ``(k,)``, weights unnormalised.

    Half the proposals draw height and first angle from the prior and solve the other two angles on
    y* = y + σ·noise, the other half the reverse; each has two branches. A proposal's density at x is that of what
    was drawn, times N(y*; y, σ²) by |det ∂f/∂(solved)|. Either determinant vanishes at stretched arms, where the
    weight of that proposal alone would be unbounded; the mixture of both (the balance heuristic) is bounded
    but where both vanish.
    """
    half = proposals // 2
    drawn = PRIOR_SCALE * rng.standard_normal((2 * half, 4))
    target = y + sigma * rng.standard_normal((2 * half, 2))
    x = np.concatenate([_solve_last(drawn[:half, :2], target[:half]), _solve_first(drawn[half:, 2:], target[half:])])
    x = x[np.isfinite(x).all(axis=1)]
    first, last = _prior_density(x, slice(0, 2)), _prior_density(x, slice(2, 4))
    determinant_last = LENGTHS[1] * LENGTHS[2] * abs(np.sin(x[:, 3]))
    determinant_first = abs(end_point(x)[:, 1] - x[:, 0])
    # N(f(x); y, σ²) is a factor of the posterior and of both proposals, and cancels.
    return x, first * last / (first * determinant_last + last * determinant_first)


def _prior_density(x: Array, joints: slice) -> Array:
    scale = PRIOR_SCALE[joints]
    return np.exp(-((x[:, joints] / scale) ** 2).sum(axis=1) / 2) / (2 * np.pi * scale.prod())


@np.errstate(invalid="ignore")
def _solve_last(first: Array, target: Array) -> Array:
    """The two last angles, both branches: ``(n, 2)`` and ``(n, 2)`` to ``(2n, 4)``; NaN out of reach."""
    elbow = np.stack([np.cos(first[:, 1]), np.sin(first[:, 1])], axis=1) * LENGTHS[0]
    elbow[:, 1] += first[:, 0]
    reach = target - elbow
    cosine = ((reach**2).sum(axis=1) - LENGTHS[1] ** 2 - LENGTHS[2] ** 2) / (2 * LENGTHS[1] * LENGTHS[2])
    branches = []
    for bend in (np.arccos(cosine), -np.arccos(cosine)):
        inner = np.arctan2(LENGTHS[2] * np.sin(bend), LENGTHS[1] + LENGTHS[2] * np.cos(bend))
        second = np.arctan2(reach[:, 1], reach[:, 0]) - inner - first[:, 1]
        branches.append(np.column_stack([first, _wrapped(second), bend]))
    return np.concatenate(branches)


@np.errstate(invalid="ignore")
def _solve_first(last: Array, target: Array) -> Array:
    """Height and first angle, both branches: ``(n, 2)`` and ``(n, 2)`` to ``(2n, 4)``; NaN out of reach."""
    straight = np.column_stack([np.zeros((len(last), 2)), last])  # the same bends, on a level arm
    end = end_point(straight)
    length = np.hypot(end[:, 0], end[:, 1])
    branches = []
    for sign in (1, -1):
        lift = sign * np.arccos(target[:, 0] / length)
        angle = _wrapped(lift - np.arctan2(end[:, 1], end[:, 0]))
        branches.append(np.column_stack([target[:, 1] - length * np.sin(lift), angle, last]))
    return np.concatenate(branches)


def _wrapped(angle: Array) -> Array:
    """Into [−π, π), beyond which the prior has 3e-10 of its mass."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
