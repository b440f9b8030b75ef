"""All scores of an image, fitted to inliers, with p-values; it lies beside the weights of its model."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_models.data.atomic import complete_file
from flow_models.errors import FlowModelsError
from flow_models.evaluation import conformal, outliers
from flow_models.evaluation.density_of_states import DensityOfStates
from flow_models.evaluation.tails import UpperTail

Array = NDArray[np.float64]
Statistics = Mapping[str, ArrayLike]
"""``(n,)`` by name: those of ``FlowModel.statistics``, and ``compressor_bits``."""

SCORES = (
    "likelihood",
    "typicality",
    "input_complexity",
    "density_of_states",
    "goodness_of_fit",
    "combined",
    "compressor",
)
DEFAULT = "combined"
CODEC = "png"
STATES = "density_of_states"
_TAIL = "tail_of_"
DESCRIPTION, ARRAYS = "outlier_score.json", "outlier_score.npz"
FORMAT = 4


@dataclass(frozen=True, kw_only=True)
class OutlierScore:
    """The scores of one model. Higher is more outlying; an image without a finite density scores infinity.

    Attributes:
        states: names of the statistics that ``density`` is over: ``log p(x)``, ``log|det dz/dx|``, the squared length
            of each piece of z, and the compressor's bits.
        entropy: mean negative log-likelihood of inliers, nats.
        density: of the statistics of inliers.
        tails: of the inliers' density of states, and of how much likelier each is turned than as it stands; by name.
        calibration: scores by ``DEFAULT`` of other inliers, ``(n,)``, increasing.
        noise_seed: of the field of dequantisation noise with which all of this was measured.
    """

    states: tuple[str, ...]
    entropy: float
    density: DensityOfStates
    tails: Mapping[str, UpperTail]
    calibration: Array
    noise_seed: int

    @classmethod
    def fit(cls, fitting: Statistics, calibrating: Statistics, *, noise_seed: int) -> OutlierScore:
        """Fit the scores to some inliers and calibrate the p-values on others; neither was trained on.

        The two sets must not overlap: p-values are valid because the calibrating images had no say in the score.

        Args:
            fitting: statistics of at least two inliers.
            calibrating: statistics of at least one other.
            noise_seed: of the dequantisation with which the statistics were.

        Raises:
            ValueError: if there are too few, or one of the fitted is not finite.
        """
        squares = (name for name in fitting if name.startswith("z") and name.endswith(".square"))
        states = ("log_prob", "log_det", *squares, "compressor_bits")
        density = DensityOfStates.of(_columns(fitting, states))
        turned = {name: UpperTail.of(_turned(fitting, name)) for name in fitting if name.startswith("than_")}
        uncalibrated = cls(
            states=states,
            entropy=float(outliers.negative_log_likelihood(fitting["log_prob"]).mean()),
            density=density,
            tails={STATES: UpperTail.of(density.of_each_by_the_others()), **turned},
            calibration=np.zeros(0),
            noise_seed=noise_seed,
        )
        calibration = np.sort(uncalibrated.score(calibrating))
        conformal.smallest_p_value(len(calibration))
        return cls(**{**vars(uncalibrated), "calibration": calibration})

    def scores(self, statistics: Statistics) -> dict[str, Array]:
        """Every score, ``(n,)``, by name in the order of ``SCORES``."""
        log_prob, bits = statistics["log_prob"], np.asarray(statistics["compressor_bits"], np.float64)
        latent = _columns(statistics, [name for name in statistics if name.startswith("z")])
        unusual = self._unusual(statistics)
        scores = {
            "likelihood": outliers.negative_log_likelihood(log_prob),
            "typicality": outliers.typicality(log_prob, entropy=self.entropy),
            "input_complexity": outliers.input_complexity(log_prob, compressor_bits=bits),
            STATES: unusual,
            "goodness_of_fit": outliers.goodness_of_fit(latent),
            DEFAULT: self._combined(statistics, unusual),
            "compressor": bits,
        }
        return {name: np.where(np.isnan(each), np.inf, each) for name, each in scores.items()}

    def score(self, statistics: Statistics) -> Array:
        """The one that the p-values belong to, ``(n,)``: ``DEFAULT``, ``-Σ_k log p_k``, nats.

        The p_k say how rarely an inlier has as unusual states, and how rarely one is as likely upside down and
        mirrored, beside how likely it is as it stands.

        References:
            Fisher 1932, "Statistical methods for research workers", 4th edition, section 21.1.
        """
        return self._combined(statistics, self._unusual(statistics))

    def p_values(self, statistics: Statistics) -> Array:
        """How odd each image is among inliers, ``(n,)``; see ``conformal.p_values``."""
        return conformal.p_values(self.calibration, self.score(statistics))

    @property
    def smallest_p_value(self) -> float:
        """The least that this many calibrating inliers can give."""
        return conformal.smallest_p_value(len(self.calibration))

    def save(self, folder: Path) -> None:
        """Write two files into a model's folder."""
        content = io.BytesIO()
        tails: dict[str, Any] = {f"{_TAIL}{name}": tail.points for name, tail in self.tails.items()}
        np.savez(content, **vars(self.density), **tails, calibration=self.calibration)
        description = {
            "format": FORMAT,
            "score": DEFAULT,
            "states": self.states,
            "entropy": self.entropy,
            "codec": CODEC,
            "noise_seed": self.noise_seed,
            "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        }
        with complete_file(folder / ARRAYS) as unfinished:
            unfinished.write_bytes(content.getvalue())
        with complete_file(folder / DESCRIPTION) as unfinished:
            unfinished.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> OutlierScore:
        """Read what ``save`` wrote; nothing in it is executed.

        Raises:
            FlowModelsError: if there is none, it is damaged, or of another format.
        """
        try:
            about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            content = (folder / ARRAYS).read_bytes()
        except (OSError, ValueError):
            raise FlowModelsError(f"{folder}: no outlier score beside this model; train it on images anew") from None
        if about.get("format") != FORMAT or about.get("score") != DEFAULT:
            raise FlowModelsError(f"{folder / DESCRIPTION}: of another version; use that one, or train the model anew")
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise FlowModelsError(f"{folder / ARRAYS}: damaged (its sha256 differs); fetch or train the model anew")
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
        return cls(
            states=tuple(about["states"]),
            entropy=about["entropy"],
            density=DensityOfStates(arrays["center"], arrays["whitening"], arrays["points"]),
            tails={name.removeprefix(_TAIL): UpperTail(arrays[name]) for name in arrays if name.startswith(_TAIL)},
            calibration=arrays["calibration"],
            noise_seed=about["noise_seed"],
        )

    def _unusual(self, statistics: Statistics) -> Array:
        return self.density.negative_log_density(_columns(statistics, self.states))

    def _combined(self, statistics: Statistics, unusual: Array) -> Array:
        found = {name: unusual if name == STATES else _turned(statistics, name) for name in self.tails}
        return np.sum([tail.surprise(found[name]) for name, tail in self.tails.items()], axis=0)


def _turned(statistics: Statistics, name: str) -> Array:
    """How much likelier the images are turned than as they stand."""
    return -np.asarray(statistics[name], np.float64)


def _columns(statistics: Statistics, names: Sequence[str]) -> Array:
    return np.column_stack([np.asarray(statistics[name], np.float64) for name in names])
