"""Mixtures of Gaussians beside the flows: of few rows they often tell more."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

Array = NDArray[np.float64]

FILE = "mixture.npz"
KINDS = ("diag", "tied", "full")
COMPONENTS = 10  # at most
PATIENCE = 2  # components more without a better criterion, after which there are enough
FLOOR = 1e-4  # of a variance: no component ends on a single row
NEGLIGIBLE = 1e-9
MOST = 5_000  # rows to learn from
_LOG_2_PI = np.log(2 * np.pi)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of k Gaussians of p columns.

    Attributes:
        shares: of the components, ``(k,)``.
        means: ``(k, p)``.
        roots: of the covariances, lower triangles of Cholesky, ``(k, p, p)``.
    """

    shares: Array
    means: Array
    roots: Array

    @classmethod
    def of(cls, v: NDArray[np.float32], *, seed: int, seconds: float | None = None) -> Mixture:
        """From rows ``(n, p)``: components and the kind of their covariances by the Bayesian information criterion.

        They are looked for among the rows as they are and among the rows whitened, with the covariance of Ledoit & Wolf
        2004: the search starts from k-means, which sees other clusters in each.

        Args:
            v: rows, at least 2, about of unit scale.
            seed: of the starts.
            seconds: after which no larger mixture is tried; None: as many as there are.
        """
        some = np.random.default_rng(seed).permutation(len(v))[:MOST]
        rows = np.asarray(v[some], np.float64)
        eye = np.eye(rows.shape[1])
        whitening = np.linalg.cholesky(ledoit_wolf(rows)[0] + NEGLIGIBLE * eye)
        end = None if seconds is None else time.monotonic() + seconds
        with threadpool_limits(1):  # more threads take two to four times as long: they mostly wait for one another
            found = [
                each
                for root in (eye, whitening)
                for kind in KINDS
                for each in _candidates(rows, root, kind, seed=seed, end=end)
            ]
        _, mixture, root = min(found, key=lambda each: each[0])
        roots = np.linalg.cholesky(root @ _full(mixture) @ root.T)
        return cls(shares=mixture.weights_, means=mixture.means_ @ root.T, roots=np.asarray(roots, np.float64))

    def log_prob(self, v: NDArray[np.float32], context: object = None) -> Array:  # noqa: ARG002 - as a flow has it
        """``log p(v)`` in nats, ``(n,)``."""
        each = np.empty((len(v), len(self.shares)))
        for index, (share, mean, root) in enumerate(zip(self.shares, self.means, self.roots, strict=True)):
            z = solve_triangular(root, (v - mean).T, lower=True)
            volume = np.log(np.diag(root)).sum()
            each[:, index] = np.log(share) - 0.5 * (z**2).sum(axis=0) - volume - 0.5 * len(mean) * _LOG_2_PI
        return np.asarray(logsumexp(each, axis=1))

    def sample(self, number: int, *, seed: int, context: object = None, of: object = None) -> Array:  # noqa: ARG002
        """Draw ``(number, p)``."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.shares), number, p=self.shares / self.shares.sum())
        noise = rng.standard_normal((number, self.means.shape[1]))
        return np.asarray(self.means[which] + np.einsum("nij,nj->ni", self.roots[which], noise))

    def save(self, folder: Path) -> None:
        """Write the arrays to a new folder."""
        folder.mkdir()
        np.savez_compressed(folder / FILE, **asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Mixture:
        """What ``save`` wrote."""
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return cls(**arrays)


def _candidates(
    rows: Array, root: Array, kind: str, *, seed: int, end: float | None
) -> Iterator[tuple[float, GaussianMixture, Array]]:
    """Criterion, mixture of ``root⁻¹ rows`` and root, with more and more components while that helps."""
    units = solve_triangular(root, rows.T, lower=True).T
    price = 2 * len(rows) * np.log(np.diag(root)).sum()
    if kind == "diag":  # along axes that whitening has learned: these numbers count as well
        price += np.count_nonzero(np.tril(root, -1)) * np.log(len(rows))
    most = int(np.clip(len(rows) // (rows.shape[1] + 1), 1, COMPONENTS))  # fewer rows have no covariance
    best, at = np.inf, 0
    for number in range(1, most + 1):
        mixture = GaussianMixture(number, covariance_type=kind, reg_covar=FLOOR, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the criterion judges what came of it
            mixture.fit(units)
        criterion = mixture.bic(units) + price
        yield criterion, mixture, root
        if criterion < best:
            best, at = criterion, number
        if number - at >= PATIENCE or (end is not None and time.monotonic() > end):
            break


def _full(mixture: GaussianMixture) -> Array:
    """Covariances ``(k, p, p)`` of any kind of mixture."""
    k, p = mixture.means_.shape
    if mixture.covariance_type == "diag":
        return np.asarray(mixture.covariances_[:, :, None] * np.eye(p))
    return np.broadcast_to(mixture.covariances_, (k, p, p))
