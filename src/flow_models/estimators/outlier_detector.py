"""FlowOutlierDetector: rows that are unlike those it was fitted to, with p-values that are valid."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin

from flow_models.estimators.density import DensityCore
from flow_models.estimators.support import Support
from flow_models.evaluation.conformal import p_values

LEVEL = 0.05  # of p-values below which a row is an outlier when the share of outliers is not given
MOST_CALIBRATED = 10_000
FEWEST_TRAINED = 2  # rows: one alone does not vary


class FlowOutlierDetector(OutlierMixin, DensityCore):
    """Outliers by their density, with conformal p-values from rows that took no part in training.

    An outlier is a row of low density ``p(x)``, as normalizing flows estimate it; ``score_samples`` is ``log p(x)``.
    The p-value of a row is the share of inliers, of those kept from training, that are no likelier than it (Vovk et
    al. 2005, section 2.2): an inlier's is at most α with probability at most α, whatever the data.

    See ``FlowEstimator`` for the parameters that are not here.

    Args:
        contamination: share of the rows in ``fit`` to call outliers; "auto": those with a p-value of at most 0.05.
        calibration_fraction: of the rows in ``fit``, kept from training for the p-values.

    Attributes:
        offset_: the log-density below which a row is an outlier.
        calibration_scores_: log-densities of the rows kept from training, ``(k,)``.
    """

    def __init__(  # noqa: PLR0913 - scikit-learn wants every parameter in the signature
        self,
        *,
        contamination: float | Literal["auto"] = "auto",
        calibration_fraction: float = 0.2,
        support: Support = None,
        layers: int | None = None,
        hidden: int | None = None,
        n_estimators: int | None = None,
        max_iter: int | None = None,
        max_seconds: float | None = None,
        validation_fraction: float = 0.125,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            support=support,
            layers=layers,
            hidden=hidden,
            n_estimators=n_estimators,
            max_iter=max_iter,
            max_seconds=max_seconds,
            validation_fraction=validation_fraction,
            random_state=random_state,
        )
        self.contamination = contamination
        self.calibration_fraction = calibration_fraction

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's signature
        """Learn from rows ``(n, p)``, most of them inliers; y is ignored.

        Raises:
            ValueError: if the rows are not finite numbers, fewer than three, or all alike.
        """
        if self.contamination != "auto" and not 0 < self.contamination <= 0.5:  # noqa: PLR2004 - most are inliers
            raise ValueError(f"contamination must lie in (0, 0.5] or be 'auto'; got {self.contamination!r}")
        if not 0 < self.calibration_fraction < 1:
            raise ValueError(f"calibration_fraction must lie in (0, 1); got {self.calibration_fraction!r}")
        rows = self._rows(X, fitting=True, fewest=FEWEST_TRAINED + 1)
        self.seed_ = self._new_seed()
        order = np.random.default_rng([self.seed_, len(rows)]).permutation(len(rows))
        kept = min(max(1, round(self.calibration_fraction * len(rows))), len(rows) - FEWEST_TRAINED, MOST_CALIBRATED)
        self._fit_density(rows[np.sort(order[kept:])])
        self.calibration_scores_ = self._log_density(rows[order[:kept]])
        if self.contamination == "auto":
            self.offset_ = _smallest_inlier(self.calibration_scores_)
        else:
            self.offset_ = float(np.quantile(self._log_density(rows), self.contamination))
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """``log p(x) - offset_``, ``(n,)``: negative for an outlier."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """1 for an inlier, -1 for an outlier, ``(n,)``."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """How often an inlier is no likelier than this row, ``(n,)``, in [1 / (k + 1), 1]."""
        scores = self.score_samples(X)
        return p_values(-self.calibration_scores_, -scores)

    def _learned(self) -> dict[str, Any]:
        own = {"calibration_scores": self.calibration_scores_.tolist(), "offset": self.offset_}
        return {**super()._learned(), **own}

    def _recall(self, content: dict[str, Any]) -> None:
        super()._recall(content)
        self.calibration_scores_ = np.array(content["calibration_scores"], np.float64)
        self.offset_ = float(content["offset"])


def _smallest_inlier(scores: NDArray[np.float64]) -> float:
    """The smallest of the calibration scores whose p-value is above ``LEVEL``."""
    ordered = np.sort(scores)
    # The j-th smallest, from 1, has j scores at or below it, itself among them: p = (1 + j) / (k + 1).
    position = int(np.floor(LEVEL * (len(ordered) + 1)))
    return float(ordered[max(position - 1, 0)])
