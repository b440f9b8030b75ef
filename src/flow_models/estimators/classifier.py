"""FlowClassifier: the class of a row from one density a class, by Bayes' rule."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from flow_models.estimators.base import FlowEstimator, varying, weighty
from flow_models.estimators.batches import effective_rows
from flow_models.estimators.fitting import Fitted, fit
from flow_models.estimators.members import ensemble_sample
from flow_models.estimators.recipe import Recipe
from flow_models.estimators.rows import by_parts
from flow_models.estimators.units import Units

SEPARATION = 4.0  # of the classes' means before training, in deviations
BINS = 8  # more are worse even of two columns
SMOOTHING = 0.2  # more would blur classes into each other, whose spread is less than that of all rows
PRIOR_SPREAD = 0.5  # of the logarithm of the temperature
TEMPERATURES = (0.25, 8.0)


class FlowClassifier(ClassifierMixin, FlowEstimator):
    """Classes by Bayes' rule from exact densities: one invertible network, one latent mode a class.

    The flow maps rows to latents, where each class is a Gaussian about a mean of its own (the IB-INN of Mackowiak,
    Ardizzone et al. 2021), and learns ``p(x)`` and ``p(c | x)`` together. So it also knows how likely a row is under
    any class (``score_samples``), and draws rows of a class. One temperature, from rows that were held out, makes
    the probabilities mean what they say (Guo et al. 2017, section 4.2).

    See ``FlowEstimator`` for the parameters.

    Attributes:
        classes_: the labels, sorted.
        class_prior_: their shares in ``fit``.
        temperature_: by which log-probabilities are divided.
    """

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from rows ``(n, p)`` and their classes ``(n,)``, of any type, each as often as its weight says.

        Where X is the path of a parquet file, y may be the name of the column that holds the classes.

        Raises:
            ValueError: if the rows are not finite numbers, or those with a weight are not of two classes.
        """
        rows, labels = self._validated(X, y, ensure_min_samples=2)
        check_classification_targets(labels)
        weights = self._weights(sample_weight, rows)
        if weights is not None:
            labels = labels[weights > 0]
        rows, weights = weighty(weights, rows)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:  # noqa: PLR2004
            raise ValueError("the data contain only one class; a classifier needs two")
        self.seed_ = self._new_seed()
        counts = np.bincount(codes, weights)
        self.class_prior_ = counts / counts.sum()
        self.units_ = units = Units.of(rows, self.support, seed=self.seed_)
        width = varying(units)
        one_hot = np.eye(len(self.classes_), dtype=np.float32)

        def take(which: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
            return units.to_flow(rows[which], rng)[0], one_hot[codes[which]]

        fitted = fit(
            take,
            len(rows),
            self._recipe(len(rows) if weights is None else effective_rows(weights), width),
            options={"features": width},
            base={
                "kind": "class_means",
                "y": width,
                "shares": np.round(self.class_prior_, 6).tolist(),
                "class_weight": float(width),
                "separation": SEPARATION,
            },
            weights=weights,
            validation_fraction=self.validation_fraction,
            max_seconds=self.max_seconds,
            seed=self.seed_,
        )
        self._keep(fitted)
        self.temperature_ = _temperature(fitted, lambda which: units.to_flow(rows[which])[0], codes, weights)
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The most probable class of each row, ``(n,)``."""
        most = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """``p(c | x)``, ``(n, classes)``, the mean of the flows'."""

        def of_part(part: NDArray[Any]) -> NDArray[np.float64]:
            v, _ = self.units_.to_flow(part)
            each = [softmax(member.joint_log_prob(v) / self.temperature_, axis=1) for member in self.members_]
            return np.asarray(np.mean(each, axis=0))

        return by_parts(of_part, self._rows(X))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """``log p(x)`` in nats, whatever the class, ``(n,)``: low for a row that belongs to none."""

        def of_part(part: NDArray[Any]) -> NDArray[np.float64]:
            v, log_slope = self.units_.to_flow(part)
            each = [logsumexp(member.joint_log_prob(v), axis=1) for member in self.members_]
            return np.asarray(logsumexp(each, axis=0) - np.log(len(each)) + log_slope)

        return by_parts(of_part, self._rows(X))

    def sample(
        self,
        n_samples: int = 1,
        *,
        label: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray[np.float64]:
        """Draw rows ``(n_samples, p)`` of a class; of all by their shares if none is named.

        Raises:
            ValueError: if there is no such class.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = self._seed_of(random_state)
        if label is None:
            codes = check_random_state(seed).choice(len(self.classes_), n_samples, p=self.class_prior_)
        else:
            known = np.flatnonzero(self.classes_ == label)
            if not len(known):
                raise ValueError(
                    f"label: there is no class {label!r}; known: {', '.join(map(repr, self.classes_.tolist()))}"
                )
            codes = np.repeat(known, n_samples)
        classes = np.eye(len(self.classes_), dtype=np.float32)
        v = ensemble_sample(self.members_, n_samples, self.units_.columns, seed=seed, context=classes, of=codes)
        return self.units_.from_flow(v)

    def _recipe(self, n: int, p: int, m: int = 0) -> Recipe:
        """That of a density, but for what classes ask for, and what the user chose."""
        return super()._recipe(n, p, m).changed(bins=BINS, smoothing=SMOOTHING)

    def _learned(self) -> dict[str, Any]:
        return {
            "classes": self.classes_.tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "class_prior": self.class_prior_.tolist(),
            "temperature": self.temperature_,
        }

    def _recall(self, content: dict[str, Any]) -> None:
        self.classes_ = np.array(content["classes"], dtype=np.dtype(content["classes_dtype"]))
        self.class_prior_ = np.array(content["class_prior"])
        self.temperature_ = float(content["temperature"])


def _temperature(
    fitted: list[Fitted],
    to_flow: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    codes: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> float:
    """That under which the rows that each flow has not seen are likeliest."""
    joint = np.concatenate([each.member.joint_log_prob(to_flow(each.held_out)) for each in fitted])
    held_out = np.concatenate([each.held_out for each in fitted])
    labels, counted = (
        codes[held_out],
        np.ones(len(held_out)) if weights is None else (weights / weights.mean())[held_out],
    )

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(joint / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels]
        # With few held-out rows all may be right, and no temperature would be low enough: a normal prior about 1.
        return float(-counted @ log_p + 0.5 * (log_temperature / PRIOR_SPREAD) ** 2)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))
