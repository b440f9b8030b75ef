"""FlowDensity: the density of a table's rows, and samples from it."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from flow_models.estimators.base import FlowEstimator, varying, weighty
from flow_models.estimators.batches import draw_by_weight, effective_rows
from flow_models.estimators.fitting import Fitted, fit
from flow_models.estimators.members import Density, ensemble_log_prob, ensemble_sample
from flow_models.estimators.mixture import Mixture
from flow_models.estimators.rows import Rows, by_parts
from flow_models.estimators.stacking import stacked
from flow_models.estimators.units import Units
from flow_models.seeds import seed_of


class DensityCore(FlowEstimator):
    """A density fitted to rows: what ``FlowDensity`` and ``FlowOutlierDetector`` share.

    Attributes:
        members_: the flows.
        mixtures_: of Gaussians, one beside each flow if rows are few, of the rows that it has not held out.
        flow_share_: of the flows in the mean of all densities.
    """

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """``log p(x)`` in nats, in the units of the columns, ``(n,)``; -inf outside the support.

        In a column with atoms, see ``Units``, what counts of a value that is one is its probability.
        """
        return self._log_density(self._rows(X))

    def _log_density(self, rows: Rows) -> NDArray[np.float64]:
        def of_part(part: NDArray[Any]) -> NDArray[np.float64]:
            v, log_slope = self.units_.to_flow(part)
            return ensemble_log_prob(self._densities, v, shares=self._shares) + log_slope

        return by_parts(of_part, rows)

    def _fit_density(self, rows: Rows, weights: NDArray[np.float64] | None = None) -> None:
        """Learn units and flows from rows ``(n, p)`` and their weights, ``(n,)``, positive."""
        self.units_ = Units.of(rows, self.support, seed=self.seed_)
        width = varying(self.units_)
        recipe = self._recipe(len(rows) if weights is None else effective_rows(weights), width)
        units = self.units_

        def take(which: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
            return (units.to_flow(rows[which], rng)[0],)

        fitted = fit(
            take,
            len(rows),
            recipe,
            options={"features": width},
            weights=weights,
            validation_fraction=self.validation_fraction,
            max_seconds=self.max_seconds,
            seed=self.seed_,
        )
        self._keep(fitted)
        self.mixtures_: list[Mixture] = []
        self.flow_share_ = 1.0
        if recipe.mixtures:
            (v,) = take(np.arange(len(rows)), np.random.default_rng([self.seed_, len(rows)]))
            self._add_mixtures(fitted, v, weights)

    def _add_mixtures(self, fitted: list[Fitted], v: NDArray[np.float32], weights: NDArray[np.float64] | None) -> None:
        """Beside each flow a mixture of the same rows, and the shares of both by the rows that were held out."""
        left = None if self.max_seconds is None else self.max_seconds - sum(each.outcome.seconds for each in fitted)
        for index, each in enumerate(fitted):
            seed = [self.seed_, index]
            rows = np.setdiff1d(np.arange(len(v)), each.held_out)
            if weights is not None:
                rows = rows[draw_by_weight(weights[rows], len(rows), np.random.default_rng(seed))]
            seconds = None if left is None else left / len(fitted)
            self.mixtures_.append(Mixture.of(v[rows], seed=seed_of(*seed), seconds=seconds))
        held_out = [each.held_out for each in fitted]
        of_flows = [each.member.log_prob(v[which]) for each, which in zip(fitted, held_out, strict=True)]
        of_mixtures = [each.log_prob(v[which]) for each, which in zip(self.mixtures_, held_out, strict=True)]
        both = np.column_stack([np.concatenate(of_flows), np.concatenate(of_mixtures)])
        counted = None if weights is None else (weights / weights.mean())[np.concatenate(held_out)]
        self.flow_share_ = float(stacked(both, counted)[0])

    @property
    def _densities(self) -> list[Density]:
        return [*self.members_, *self.mixtures_]

    @property
    def _shares(self) -> NDArray[np.float64]:
        """Of the flows and of the mixtures, each in equal parts."""
        flows, mixtures = len(self.members_), len(self.mixtures_)
        each = [self.flow_share_ / flows, (1 - self.flow_share_) / max(mixtures, 1)]
        return np.repeat(each, [flows, mixtures])

    def _write(self, folder: Path) -> None:
        super()._write(folder)
        for index, mixture in enumerate(self.mixtures_):
            mixture.save(folder / f"mixture-{index}")

    def _read(self, folder: Path, content: dict[str, Any]) -> None:
        super()._read(folder, content)
        self.mixtures_ = [Mixture.load(folder / f"mixture-{index}") for index in range(content["mixtures"])]

    def _learned(self) -> dict[str, Any]:
        return {**super()._learned(), "mixtures": len(self.mixtures_), "flow_share": self.flow_share_}

    def _recall(self, content: dict[str, Any]) -> None:
        super()._recall(content)
        self.flow_share_ = float(content["flow_share"])


class FlowDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, DensityCore):
    """The density of rows by normalizing flows: exact log-densities, samples, and latents that are normal.

    Columns may have any units, bounds (``support``), heavy tails, ties or no variation at all; see ``Units``. With
    few rows an ensemble of flows is trained, each with other rows held out, and their densities are averaged, together
    with those of mixtures of Gaussians, as far as these make the held-out rows likelier.

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
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = self._seed_of(random_state)
        v = ensemble_sample(self._densities, n_samples, self.units_.columns, seed=seed, shares=self._shares)
        return self.units_.from_flow(v)

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
