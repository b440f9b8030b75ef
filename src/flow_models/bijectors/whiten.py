"""A fixed linear map to uncorrelated elements, taken from the data; of what a regression on the context leaves."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from flow_models.bijectors.fused import FusedBijector

# Of a correlation matrix. In directions that vary less, numbers in float32 are rounding.
_LEAST_EIGENVALUE = 1e-6


class Whiten(FusedBijector):
    r"""Mean 0, deviation 1 and no correlation on the latent side; with a context, also none with the context.

    - forward:  ``x = m + (c - c̄) A + L z``
    - inverse:  ``z = L⁻¹ (x - m - (c - c̄) A)``
    - log-det:  ``log|dx/dz| = log|det L|``

    ``initialise`` takes all from the first data: ``A`` is the least-squares regression of x on the context c, and
    ``L = D V √λ`` has the deviations D of what the regression leaves, and the eigenvectors V and -values λ of its
    correlations (PCA whitening; Kessy, Lewin & Strimmer 2018, "PCA-cor"). They are not trained, and are saved with
    the weights. Elements that move together, such as neighbours on a smooth profile, are hard for couplings, which
    see a half of them at a time; where x and c are jointly Gaussian, this alone is the exact posterior.

    ``aligned`` turns the latents back to the axes of the elements, ``L = D V √λ Vᵀ`` ("ZCA-cor"): where elements hardly
    move together the principal axes are any, and what each element does alone would be mixed.

    Shapes: ``[batch, n]`` to the same; context ``[batch, context_width]`` if there is one.
    """

    def __init__(
        self,
        *,
        event_shape: tuple[int, ...],
        context_width: int | None = None,
        aligned: bool = False,
        dtype: tf.DType = tf.float32,
        name: str = "whiten",
    ) -> None:
        super().__init__(
            latent_shape=event_shape, data_shape=event_shape, context_width=context_width, dtype=dtype, name=name
        )
        (width,) = event_shape
        known = context_width or 0
        self._aligned = aligned

        def fixed(value: tf.Tensor, its_name: str) -> tf.Variable:
            return tf.Variable(tf.cast(value, dtype), trainable=False, name=its_name)

        self._mean = fixed(tf.zeros([width]), "mean")
        self._out, self._in = fixed(tf.eye(width), "out"), fixed(tf.eye(width), "in")
        self._log_det = fixed(0.0, "log_det")
        self._context_mean, self._slope = (
            fixed(tf.zeros([known]), "context_mean"),
            fixed(tf.zeros([known, width]), "slope"),
        )

    def forward_and_log_det(self, z: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and ``log|det L|``, a scalar."""
        return z @ self._out + self._centre(context), tf.identity(self._log_det)

    def inverse_and_log_det(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and ``-log|det L|``, a scalar."""
        return (x - self._centre(context)) @ self._in, -tf.identity(self._log_det)

    def initialise(self, x: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Take mean, regression and correlations from the rows ``x`` and their ``context``."""
        rows = np.asarray(x, np.float64)
        mean = rows.mean(axis=0)
        left = rows - mean
        if self.context_width is not None:
            known = np.asarray(context, np.float64)
            deviations = known - known.mean(axis=0)
            scale = positive(deviations.std(axis=0))
            slope = np.linalg.lstsq(deviations / scale, left, rcond=None)[0] / scale[:, None]
            left = left - deviations @ slope
            self._context_mean.assign(tf.cast(known.mean(axis=0), self.dtype))
            self._slope.assign(tf.cast(slope, self.dtype))
        scale = positive(left.std(axis=0))
        values, vectors = np.linalg.eigh((left / scale).T @ (left / scale) / len(left))
        # From the widest direction; what has no width keeps the unit of its columns.
        spread = np.sqrt(np.where(values > _LEAST_EIGENVALUE, values, 1))[::-1]
        vectors = vectors[:, ::-1]
        back = vectors if self._aligned else np.eye(len(spread))
        self._mean.assign(tf.cast(mean, self.dtype))
        self._out.assign(tf.cast(back @ (spread[:, None] * vectors.T * scale), self.dtype))
        self._in.assign(tf.cast((vectors / scale[:, None] / spread) @ back.T, self.dtype))
        self._log_det.assign(tf.cast(np.log(scale).sum() + np.log(spread).sum(), self.dtype))
        return self.inverse_and_log_det(x, context)[0]

    def expected(self, context: tf.Tensor) -> tf.Tensor:
        """What the regression expects of ``x - m``, given a context: ``(c - c̄) A``, ``[batch, n]``."""
        return (context - self._context_mean) @ self._slope

    def _centre(self, context: tf.Tensor | None) -> tf.Tensor:
        if self.context_width is None:
            return self._mean
        return self._mean + self.expected(context)


def positive(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for an element that does not vary."""
    return np.where(deviation > 0, deviation, 1)
