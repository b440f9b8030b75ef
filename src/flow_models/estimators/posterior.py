"""FlowPosterior: what observations tell of parameters, learned once for all observations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags, check_scalar
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from flow_models.estimators.base import FlowEstimator, named, varying
from flow_models.estimators.calibrating import calibration_of
from flow_models.estimators.fitting import fit
from flow_models.estimators.inference_data import inference_data
from flow_models.estimators.joint import draw_pairs, prior_support
from flow_models.estimators.members import ensemble_log_prob, ensemble_sample
from flow_models.estimators.observations import KINDS, Kind, Observations
from flow_models.estimators.simulations import FEWEST, DrawPrior, Simulate, simulate_pairs, tell_of_losses
from flow_models.estimators.support import Support
from flow_models.estimators.units import Units, some_of

if TYPE_CHECKING:
    from xarray import DataTree

MEAN_OF = 200  # samples for a posterior mean


class FlowPosterior(RegressorMixin, FlowEstimator):
    """The posterior of parameters given observations, by a conditional flow (neural posterior estimation).

    Fitted to pairs of a simulator, parameters drawn from the prior and what was observed of them, it answers for any
    observation at once: samples, exact and normalised log-densities, means. With ``support`` the flow is carried onto
    the prior's bounds, so that no sample lies outside and none is thrown away.

    An observation is a vector ``(m,)``; or a set or a short series of k elements, ``(k, m)``, or ``(k,)`` of plain
    numbers. Of a set the order makes no difference to the posterior: it is summed up by a deep set (Zaheer et al.
    2017), a series by convolutions. All have the same k.

    ``support`` is that of the parameters; see ``FlowEstimator`` for it and the parameters that are not here.

    Args:
        observation: "vector", "set" or "series".

    Attributes:
        parameter_names_: those of the columns of y, or ``parameter_0`` ….

    References:
        Papamakarios & Murray 2016, "Fast ε-free inference of simulation models"; Greenberg, Nonnenmacher & Macke
        2019; Durkan et al. 2019 for the flow.
    """

    def __init__(
        self,
        *,
        observation: Kind = "vector",
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
        self.observation = observation

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Learn from observations ``(n, m)``, or sets and series, and the parameters ``(n, p)`` or ``(n,)`` of each.

        Where X is the path of a parquet file, y may name the column, or be a list of those, that hold the parameters.

        Raises:
            ValueError: if a number is not finite, a parameter lies outside its support, or nothing varies.
        """
        self._check_kind(X)
        observed, parameters = self._validated(
            X,
            y,
            allow_nd=self.observation != "vector",
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        self.one_parameter_ = parameters.ndim == 1
        self.parameter_names_ = _names(y, 1 if self.one_parameter_ else parameters.shape[1])
        self._fit_pairs(observed, parameters.reshape(len(parameters), -1), self.support)
        return self

    def _fit_pairs(self, observed: NDArray[Any], theta: NDArray[Any], support: Support) -> None:
        """Learn units and flows from observations ``(n, ...)`` and parameters ``(n, p)``."""
        self.seed_ = self._new_seed()
        self.observations_ = context = Observations.of(observed, self.observation, seed=self.seed_)
        given = context.context(some_of(observed, self.seed_))
        self.units_ = units = Units.of(theta, support, seed=self.seed_, given=given)
        width = varying(units)

        def take(which: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
            v = units.to_flow(theta[which], rng)[0]
            return v, context.context(observed[which])

        self._keep(
            fit(
                take,
                len(theta),
                self._recipe(len(theta), width, context.width),
                options={"features": width, **context.options},
                validation_fraction=self.validation_fraction,
                max_seconds=self.max_seconds,
                seed=self.seed_,
            )
        )

    def fit_simulator(
        self, simulate: Simulate, draw_prior: DrawPrior, num_simulations: int, *, n_jobs: int | None = None
    ) -> Self:
        """Draw from the prior, simulate in ``n_jobs`` processes and fit.

        A simulation that raises an error or whose process is killed runs once more, alone. Those that fail again are
        left out, as are those that are not finite: a warning and ``failed_simulations_`` and
        ``nonfinite_simulations_`` say how many.

        Args:
            simulate: ``simulate(parameters, rng)`` gives observations ``(n, m)``, or ``(n, k, m)``, of parameters
                ``(n, p)``.
            draw_prior: ``draw_prior(number, rng)`` gives parameters ``(number, p)``.
            num_simulations: how many.
            n_jobs: processes, as joblib counts them; None for this one alone.
        """
        check_scalar(num_simulations, "num_simulations", Integral, min_val=FEWEST)
        simulated = simulate_pairs(simulate, draw_prior, num_simulations, seed=self._new_seed(), n_jobs=n_jobs)
        tell_of_losses(simulated)
        self.failed_simulations_, self.nonfinite_simulations_ = simulated.failed, simulated.nonfinite
        return self.fit(simulated.observations, simulated.parameters)

    def fit_distribution(self, joint: Any, *, observed: Sequence[Any], num_simulations: int) -> Self:
        """Draw from a ``JointDistribution`` of TFP, prior and simulator in one, and fit.

        The parameters are named after its parts. Their support is what its bijectors onto the event space tell, if
        ``support`` is None; it must be the same whatever the other parameters are.

        Args:
            joint: a ``JointDistribution``.
            observed: names of the parts that are observed, or numbers of those that have none; they make up x in
                this order. The others are the parameters.
            num_simulations: how many draws.

        Raises:
            ValueError: if there is no such part, or nothing is left to infer.
        """
        check_scalar(num_simulations, "num_simulations", Integral, min_val=FEWEST)
        simulated, names = draw_pairs(joint, observed, num_simulations, seed=self._new_seed())
        tell_of_losses(simulated)
        self.failed_simulations_, self.nonfinite_simulations_ = simulated.failed, simulated.nonfinite
        support = prior_support(joint, observed) if self.support is None else self.support
        self.one_parameter_, self.parameter_names_ = False, names
        x = simulated.observations
        if self.observation == "vector":
            x = x.reshape(len(x), -1)
        self._check_kind(x)
        self._fit_pairs(self._rows(x, fitting=True), simulated.parameters, support)
        return self

    def sample(
        self, x: ArrayLike, num_samples: int = 1000, *, random_state: int | np.random.RandomState | None = None
    ) -> NDArray[np.float64]:
        """Samples of the posterior at one observation ``(m,)``, ``(num_samples, p)``; at k of them, one set each.

        Warns of an observation outside of anything seen in training.

        Returns:
            ``(num_samples, p)`` for x of ``(m,)``; ``(k, num_samples, p)`` for ``(k, m)``.
        """
        check_scalar(num_samples, "num_samples", Integral, min_val=1)
        rows, one = self._observations(x)
        self._warn_of_unseen(rows)
        v = ensemble_sample(
            self.members_,
            len(rows) * num_samples,
            self.units_.columns,
            seed=self._seed_of(random_state),
            context=self.observations_.context(rows),
            of=np.repeat(np.arange(len(rows)), num_samples),
        )
        samples = self.units_.from_flow(v).reshape(len(rows), num_samples, -1)
        return samples[0] if one else samples

    def log_prob(self, x: ArrayLike, Y: ArrayLike) -> NDArray[np.float64]:  # noqa: N803 - parameters, by row
        """``log p(Y | x)`` in nats, ``(n,)``, of parameters ``(n, p)`` at one observation ``(m,)`` or at ``(n, m)``.

        Of a single parameter Y may be ``(n,)``. Warns of an observation outside of anything seen in training.

        Raises:
            ValueError: if Y has another width, or another number of rows than there are observations.
        """
        rows, _ = self._observations(x)
        self._warn_of_unseen(rows)
        theta = np.asarray(check_array(Y, dtype=np.float64, ensure_2d=False))
        width = len(self.units_.varies)
        if theta.shape[1:] != (width,) and not (theta.ndim == 1 and width == 1):
            raise ValueError(f"parameters have shape {theta.shape}; FlowPosterior was fitted to {('n', width)}")
        theta = theta.reshape(-1, width)
        if len(rows) not in (1, len(theta)):
            raise ValueError(f"{len(rows)} observations and {len(theta)} parameters do not belong together")
        return self._log_density(rows, theta)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """The posterior mean at each observation ``(n, m)``: ``(n, p)``, or ``(n,)`` if fitted to ``(n,)``.

        Warns of an observation outside of anything seen in training.
        """
        rows = self._rows(X)
        self._warn_of_unseen(rows)
        context = self.observations_.context(rows)
        # The same draws for every observation: a row's mean then depends on no other row.
        means = np.zeros((len(rows), len(self.units_.varies)))
        each = -(-MEAN_OF // len(self.members_))
        for index, member in enumerate(self.members_):
            for part, v in member.sample_alike(each, seed=self.seed_ + index, context=context):
                samples = self.units_.from_flow(v.reshape(-1, v.shape[-1]), snap=False).reshape(len(v), each, -1)
                means[part] += samples.mean(axis=1) / len(self.members_)
        return means[:, 0] if self.one_parameter_ else means

    def to_inference_data(
        self, x: ArrayLike, num_samples: int = 1000, *, random_state: int | np.random.RandomState | None = None
    ) -> DataTree:
        """Samples at an observation ``(m,)``, or at k of them, as ArviZ takes them: its InferenceData, a ``DataTree``.

        Each parameter is a variable of the group ``posterior`` under its name, with the dimensions ``chain``, ``draw``
        and, of several observations, ``observation``; log-densities are in ``sample_stats``, x in ``observed_data``.

        Raises:
            FlowModelsError: if ``arviz-base`` is not installed.
        """
        samples = self.sample(x, num_samples, random_state=random_state)
        observed = np.asarray(x, np.float64)
        several = observed.reshape(-1, *self.observations_.shape)
        rows = np.repeat(several, num_samples, axis=0)
        return inference_data(
            samples,
            self._log_density(rows, samples.reshape(-1, samples.shape[-1])).reshape(samples.shape[:-1]),
            self.observations_.columns(observed),
            parameters=self.parameter_names_,
            columns=self._columns("x{}"),
        )

    def calibrate(
        self,
        simulate: Simulate,
        draw_prior: DrawPrior,
        n: int = 300,
        *,
        draws: int = 200,
        seed: int = 0,
        n_jobs: int | None = None,
    ) -> dict[str, Any]:
        """Is the posterior right? Rank, coverage and region tests over n fresh simulations whose truth is known.

        Args:
            simulate: as in ``fit_simulator``.
            draw_prior: likewise.
            n: simulations.
            draws: posterior samples at each.
            seed: of all; another one than that of the training.
            n_jobs: processes that simulate, as joblib counts them; None for this one alone.

        Returns:
            ``coverage_error``, ``sbc`` (which parameters leave the simultaneous 95 % band), ``hpd_p_value``,
            ``tarp_p_value``, ``contraction`` …, as ``evaluation.calibration`` defines them.

        Raises:
            FlowModelsError: if the packages of the pipeline are not installed.
        """
        check_is_fitted(self)
        check_scalar(n, "n", Integral, min_val=FEWEST)
        simulated = simulate_pairs(simulate, draw_prior, n, seed=seed, n_jobs=n_jobs)
        tell_of_losses(simulated)
        return calibration_of(self, simulated, draws=draws, seed=seed)

    def calibrate_distribution(
        self, joint: Any, *, observed: Sequence[Any], n: int = 300, draws: int = 200, seed: int = 0
    ) -> dict[str, Any]:
        """As ``calibrate``, over n draws of the ``JointDistribution`` that ``fit_distribution`` was given."""
        check_is_fitted(self)
        check_scalar(n, "n", Integral, min_val=FEWEST)
        simulated, _ = draw_pairs(joint, observed, n, seed=seed)
        tell_of_losses(simulated)
        return calibration_of(self, simulated, draws=draws, seed=seed)

    def __sklearn_tags__(self) -> Tags:
        """Several parameters are several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _observations(self, x: ArrayLike) -> tuple[NDArray[Any], bool]:
        """As rows, and whether it was one."""
        check_is_fitted(self)
        one = np.ndim(x) == len(self.observations_.shape)
        rows = self._rows(np.asarray(x)[None] if one else x)
        return rows, one

    def _warn_of_unseen(self, rows: NDArray[Any]) -> None:
        found = self.observations_.warnings(rows, self._columns("column {}"))
        if found:
            more = f" (and {len(found) - 1} others of {len(rows)})" if len(found) > 1 else ""
            warnings.warn(found[0] + more, stacklevel=3)

    def _rows(self, x: Any, *, fitting: bool = False, fewest: int = 2) -> NDArray[Any]:
        if self.observation == "vector":
            return super()._rows(x, fitting=fitting, fewest=fewest)
        rows: NDArray[Any] = validate_data(self, x, reset=fitting, dtype=[np.float64, np.float32], allow_nd=True)
        if not fitting and rows.shape[1:] != self.observations_.shape:
            raise ValueError(
                f"observations have shape {rows.shape}; FlowPosterior was fitted to {('n', *self.observations_.shape)}"
            )
        return rows

    def _check_kind(self, x: Any) -> None:
        if self.observation not in KINDS:
            raise ValueError(f"observation must be one of {', '.join(KINDS)}; got {self.observation!r}")
        if self.observation != "vector" and np.ndim(x) not in (2, 3):
            raise ValueError(f"a {self.observation} has shape (k, m) or (k,); X has {np.ndim(x)} axes, not 3 or 2")

    def _columns(self, unnamed: str) -> list[str]:
        """Names of the columns of an observation, or of an element of it."""
        names = getattr(self, "feature_names_in_", None)
        if names is None or self.observation != "vector":
            return [unnamed.format(index) for index in range(len(self.observations_.units.varies))]
        return [str(name) for name in names]

    def _log_density(self, rows: NDArray[Any], theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """``log p(theta | row)``, of one row or one for each."""
        v, log_slope = self.units_.to_flow(theta)
        context = np.broadcast_to(self.observations_.context(rows), (len(v), self.observations_.width))
        return ensemble_log_prob(self.members_, v, context) + log_slope

    def _learned(self) -> dict[str, Any]:
        return {
            "observations": self.observations_.to_json(),
            "one_parameter": self.one_parameter_,
            "parameter_names": self.parameter_names_,
        }

    def _recall(self, content: dict[str, Any]) -> None:
        self.observations_ = Observations.from_json(content["observations"])
        self.one_parameter_ = content["one_parameter"]
        self.parameter_names_ = content["parameter_names"]


def _names(y: Any, number: int) -> list[str]:
    """Those of the columns of a file or a table, or of a series; ``parameter_0`` … if it has none."""
    columns = named(y, several=True) or getattr(y, "columns", [getattr(y, "name", None)])
    have_names = len(columns) == number and all(isinstance(each, str) and each for each in columns)
    return [str(each) for each in columns] if have_names else [f"parameter_{index}" for index in range(number)]
