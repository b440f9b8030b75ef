"""FlowDensity: the density of a table's rows, and samples from it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from flow_models.estimators.base import FlowEstimator, varying, weighty
from flow_models.estimators.fitting import effective_rows, fit
from flow_models.estimators.members import AT_ONCE, ensemble_log_prob, ensemble_sample
from flow_models.estimators.units import Units


class DensityCore(FlowEstimator):
    """A density fitted to rows: what ``FlowDensity`` and ``FlowOutlierDetector`` share."""

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """``log p(x)`` in nats, in the units of the columns, ``(n,)``; -inf outside the support."""
        return self._log_density(self._rows(X))

    def _log_density(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        # By parts, for the rows may be a memory-mapped file.
        parts = []
        for start in range(0, len(rows), AT_ONCE):
            v, log_slope = self.units_.to_flow(rows[start : start + AT_ONCE])
            parts.append(ensemble_log_prob(self.members_, v) + log_slope)
        return np.concatenate(parts)

    def _fit_density(self, rows: NDArray[Any], weights: NDArray[np.float64] | None = None) -> None:
        """Learn units and flows from rows ``(n, p)`` and their weights, ``(n,)``, positive."""
        self.units_ = Units.of(rows, self.support, seed=self.seed_)
        width = varying(self.units_)
        recipe = self._recipe(len(rows) if weights is None else effective_rows(weights), width)
        units = self.units_

        def take(which: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
            return (units.to_flow(units.noisy(rows[which], rng))[0],)

        self._keep(
            fit(
                take,
                len(rows),
                recipe,
                options={"features": width},
                weights=weights,
                validation_fraction=self.validation_fraction,
                max_seconds=self.max_seconds,
                seed=self.seed_,
            )
        )


class FlowDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, DensityCore):
    """The density of rows by normalizing flows: exact log-densities, samples, and latents that are normal.

    Columns may have any units, bounds (``support``), heavy tails, ties or no variation at all; see ``Units``. With
    few rows an ensemble of flows is trained, each with other rows held out, and their densities are averaged.

    See ``FlowEstimator`` for the parameters.

    Examples:
        >>> density = FlowDensity(random_state=0).fit(X)
        >>> density.score_samples(X), density.sample(100)
    """

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 - scikit-learn's signature
        y: Any = None,  # noqa: ARG002
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from rows ``(n, p)``, each as often as its weight says, ``(n,)``; y is ignored.

        Raises:
            ValueError: if the rows are not finite numbers, fewer than two have a weight, or all of them are alike.
        """
        rows = self._rows(X, fitting=True)
        rows, weights = weighty(self._weights(sample_weight, rows), rows)
        self.seed_ = self._new_seed()
        self._fit_density(rows, weights)
        self._n_features_out = self.units_.columns
        return self

    def score(
        self,
        X: ArrayLike,  # noqa: N803
        y: Any = None,  # noqa: ARG002
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """The mean log-density of the rows, weighted if weights ``(n,)`` are given, in nats."""
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.average(self.score_samples(X), weights=weights))

    def sample(
        self, n_samples: int = 1, *, random_state: int | np.random.RandomState | None = None
    ) -> NDArray[np.float64]:
        """Draw rows ``(n_samples, p)``; the same for the same seed, that of the fit by default."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; got {n_samples}")
        return self.units_.from_flow(ensemble_sample(self.members_, n_samples, seed=self._seed_of(random_state)))

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """The latents of rows, by the first flow of the ensemble, ``(n, columns that vary)``: about N(0, I)."""
        return self.members_[0].encode(self.units_.to_flow(self._rows(X))[0])

    def inverse_transform(self, Z: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """The rows of latents ``(n, columns that vary)``, ``(n, p)``."""
        check_is_fitted(self)
        z = np.asarray(Z, np.float32)
        if z.ndim != len("nz") or z.shape[1] != self.units_.columns:
            raise ValueError(f"latents have shape {z.shape}; they must be (n, {self.units_.columns})")
        return self.units_.from_flow(self.members_[0].decode(z), snap=False)

    def _recall(self, content: dict[str, Any]) -> None:
        super()._recall(content)
        self._n_features_out = self.units_.columns
