"""What the estimators have in common: scikit-learn's conventions, a fit of an ensemble, and files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from flow_models.data.atomic import complete_folder
from flow_models.data.digests import file_sha256
from flow_models.errors import FlowModelsError
from flow_models.estimators.fitting import Fitted
from flow_models.estimators.members import Member
from flow_models.estimators.recipe import Recipe
from flow_models.estimators.rows import read_column, read_parquet
from flow_models.estimators.support import Support
from flow_models.estimators.units import Units

FORMAT = 5
DESCRIPTION = "estimator.json"
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Ending:
    """How the training of one member of the ensemble ended.

    Attributes:
        reason: what stopped it.
        steps: of the optimizer.
        seconds: that they took.
        held_out_loss: of the weights that were kept, in nats a row, in the units of the flow.
    """

    reason: str
    steps: int
    seconds: float
    held_out_loss: float


class FlowEstimator(BaseEstimator):
    """Parameters, validation and files of all estimators.

    Args:
        support: lower and upper bound of each column, such as ``[(0, None), (0, 1), (None, None)]``, or one pair for
            all; no density lies outside. "auto": 0 and 1, of columns that crowd there, see ``seen_bounds``. None: no
            bounds.
        layers: couplings of each flow; None: by the number of rows, see ``Recipe.of``.
        hidden: units of each hidden layer of the coupling networks; None: by the number of rows.
        n_estimators: flows whose densities are averaged; None: more when rows are few.
        max_iter: steps of the optimizer; None: by the number of rows.
        max_seconds: of training, at most, for all flows together, beside compilation; None: no limit.
        validation_fraction: of the rows, held out to decide which weights are kept.
        random_state: a seed makes everything repeatable.

    Attributes:
        n_features_in_: columns seen in ``fit``.
        feature_names_in_: their names, if they have some.
        n_iter_: steps of the flow that took most.
        endings_: how the training of each flow ended, a list of ``Ending``.
    """

    def __init__(
        self,
        *,
        support: Support = None,
        layers: int | None = None,
        hidden: int | None = None,
        n_estimators: int | None = None,
        max_iter: int | None = None,
        max_seconds: float | None = None,
        validation_fraction: float = 0.125,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.support = support
        self.layers = layers
        self.hidden = hidden
        self.n_estimators = n_estimators
        self.max_iter = max_iter
        self.max_seconds = max_seconds
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def save(self, path: Path | str) -> None:
        """Write the fitted estimator to a folder, replacing it only when all is written; nothing in it is a pickle."""
        check_is_fitted(self)
        params = self.get_params()
        if not isinstance(params["random_state"], int | np.integer | None):
            params["random_state"] = None  # a generator that has moved on would not repeat the fit
        content = {
            "format": FORMAT,
            "estimator": type(self).__name__,
            "params": params,
            "columns": [self.n_features_in_, getattr(self, "feature_names_in_", np.array([])).tolist()],
            "units": self.units_.to_json(),
            "seed": self.seed_,
            "endings": [vars(each) for each in self.endings_],
            "flows": len(self.members_),
            **self._learned(),
        }
        with complete_folder(Path(path)) as unfinished:
            self._write(unfinished)
            content["files"] = {
                each.relative_to(unfinished).as_posix(): file_sha256(each)
                for each in unfinished.rglob("*")
                if each.is_file()
            }
            text = json.dumps(content, indent=2, default=_plain)
            (unfinished / DESCRIPTION).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what ``save`` wrote; nothing in it is executed.

        Raises:
            FlowModelsError: if the folder holds no estimator of this class, or a damaged one.
        """
        folder = Path(path)
        try:
            content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            name, version = content["estimator"], content["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise FlowModelsError(
                f"{folder}: not a saved estimator (no readable {DESCRIPTION}); save one first"
            ) from None
        if name != cls.__name__ or version != FORMAT:
            raise FlowModelsError(
                f"{folder}: a {name} of format {version}, not a {cls.__name__} of format {FORMAT}; "
                "load it with the class and the version that wrote it"
            )
        try:
            _refuse_changed(folder, content["files"])
            estimator = cls(**content["params"])
            estimator._restore(folder, content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"{error} is missing from {DESCRIPTION}" if isinstance(error, KeyError) else str(error)
            raise FlowModelsError(f"{folder}: a damaged {name} ({why}); save it again") from None
        return estimator

    def _restore(self, folder: Path, content: dict[str, Any]) -> None:
        """Become what was saved."""
        self.n_features_in_, names = content["columns"]
        if names:
            self.feature_names_in_ = np.array(names, dtype=object)
        self.units_ = Units.from_json(content["units"])
        self.seed_ = content["seed"]
        self.endings_ = [Ending(**each) for each in content["endings"]]
        self.n_iter_ = max(each.steps for each in self.endings_)
        self._read(folder, content)
        self._recall(content)

    def _write(self, folder: Path) -> None:
        """The densities that were trained, each in a folder of its own."""
        for index, member in enumerate(self.members_):
            member.save(folder / f"flow-{index}")

    def _read(self, folder: Path, content: dict[str, Any]) -> None:
        """What ``_write`` wrote."""
        self.members_ = [Member.load(folder / f"flow-{index}") for index in range(content["flows"])]

    def _learned(self) -> dict[str, Any]:
        """What a kind of estimator has learned beside its flows, as JSON holds it."""
        return {}

    def _recall(self, content: dict[str, Any]) -> None:
        """Take back what ``_learned`` gave."""

    def _rows(self, x: Any, *, fitting: bool = False, fewest: int = 2) -> NDArray[Any]:
        """Rows as an array of numbers, with scikit-learn's own messages if they are not what they must be.

        To fit there must be at least ``fewest``.
        """
        options: dict[str, Any] = {"ensure_min_samples": fewest} if fitting else {}
        if not fitting:
            check_is_fitted(self)
        rows: NDArray[Any] = self._validated(x, reset=fitting, **options)
        return rows

    def _validated(self, x: Any, *y: Any, reset: bool = True, **options: Any) -> Any:
        """As scikit-learn's ``validate_data``, and the rows of a parquet file if x is its path.

        Of a file y may be the name of a column, or a list of names if it is of numbers; the others are the rows.
        """
        options = {"dtype": [np.float64, np.float32], **options}
        if not isinstance(x, str | Path):
            return validate_data(self, x, *y, reset=reset, **options)
        path = Path(x)
        targets = [name for each in y for name in named(each, several=options.get("y_numeric", False))]
        rows, names = read_parquet(path, None if reset else getattr(self, "feature_names_in_", None), leaving=targets)
        if targets:
            y = (read_column(path, y[0]) if isinstance(y[0], str) else read_parquet(path, targets)[0],)
        with warnings.catch_warnings():
            # They were read by their names.
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            validated = validate_data(self, rows, *y, reset=reset, **options)
        if reset:
            self.feature_names_in_ = np.array(names, dtype=object)
        return validated

    def _weights(self, sample_weight: ArrayLike | None, rows: NDArray[Any]) -> NDArray[np.float64] | None:
        """As an array ``(n,)``, with scikit-learn's own messages if it is none; None for None."""
        if sample_weight is None:
            return None
        weights: NDArray[np.float64] = _check_sample_weight(
            sample_weight, rows, dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ValueError("sample_weight: all are zero; at least one sample must have a positive weight")
        return weights

    def _recipe(self, n: int, p: int, m: int = 0) -> Recipe:
        """By the data, but for what the user chose."""
        self._check_choices()
        return Recipe.of(n, p, m).changed(
            layers=self.layers, hidden=self.hidden, members=self.n_estimators, steps=self.max_iter
        )

    def _check_choices(self) -> None:
        for name in ("layers", "hidden", "n_estimators", "max_iter", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or None; got {value!r}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie in (0, 1); got {self.validation_fraction!r}")

    def _keep(self, fitted: Sequence[Fitted]) -> None:
        """Keep the flows and how their training ended."""
        self.members_ = [each.member for each in fitted]
        self.n_iter_ = max(each.outcome.steps for each in fitted)
        self.endings_ = [
            Ending(each.outcome.reason, each.outcome.steps, round(each.outcome.seconds, 3), each.outcome.holdout)
            for each in fitted
        ]

    def _new_seed(self) -> int:
        """Of a fit."""
        return int(check_random_state(self.random_state).randint(LARGEST_SEED))

    def _seed_of(self, random_state: int | np.random.RandomState | None) -> int:
        """Of a draw: from what was given, else from the fit's own seed."""
        if random_state is None:
            return int(self.seed_)
        return int(check_random_state(random_state).randint(LARGEST_SEED))


def named(y: Any, *, several: bool) -> list[str]:
    """The columns that y names: it is the name of one, or a list of names if it may be ``several``; else none."""
    if isinstance(y, str):
        return [y]
    return y if several and isinstance(y, list) and all(isinstance(each, str) for each in y) else []


def varying(units: Units) -> int:
    """How many columns vary.

    Raises:
        ValueError: if none does.
    """
    if not units.columns:
        raise ValueError("every column is constant: there is no density to learn; bring a column that varies")
    return units.columns


def weighty(weights: NDArray[np.float64] | None, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """The rows that have a weight, and it: those of weight 0 might as well not be there.

    Raises:
        ValueError: if there are fewer than two.
    """
    if weights is None:
        return rows, None
    present = weights > 0
    if present.all():  # a copy of all rows may be large
        return rows, weights
    if present.sum() < 2:  # noqa: PLR2004
        raise ValueError("sample_weight: fewer than 2 samples have a positive weight; there is no density to learn")
    return rows[present], weights[present]


def _refuse_changed(folder: Path, digests: dict[str, str]) -> None:
    for file, digest in digests.items():
        if file_sha256(folder / file) != digest:
            raise ValueError(f"{file} has changed")


def _plain(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be saved; give the estimator plain parameters")
