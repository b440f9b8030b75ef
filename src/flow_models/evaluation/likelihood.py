"""Likelihood of 8-bit images, in the unit in which it is published."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# 8 bits of pixel and 16 of noise are the 24 of a float32: 255 plus the largest noise stays below 256.
_NOISE_LEVELS = 2**16


def dequantise(images: NDArray[np.uint8], *, seed: int) -> NDArray[np.float32]:
    """Spread every pixel value v over [v, v + 1) with one fixed field of uniform noise.

    The field has the shape of one image and depends on the seed alone, and every image gets the
    same one: so an image's score depends on that image and on nothing that is scored beside it.
    The mean of its log-density over all fields is a lower bound on the log-likelihood of the
    discrete image; one field is one draw of that mean.

    Args:
        images: ``(n, h, w, c)``, values 0 to 255.
        seed: of the noise field.

    Returns:
        ``(n, h, w, c)`` in [0, 256).

    Raises:
        ValueError: if the images are not a batch of 8-bit images.

    References:
        Theis et al. 2016, "A note on the evaluation of generative models", section 3.1.
    """
    require_images(images)
    field = np.random.default_rng(seed).integers(_NOISE_LEVELS, size=images.shape[1:]) / _NOISE_LEVELS
    return images.astype(np.float32) + field.astype(np.float32)


def require_images(images: NDArray[np.uint8]) -> None:
    """Refuse what is not a batch of 8-bit images.

    Raises:
        ValueError: if the array is not uint8 ``(n, h, w, c)``.
    """
    if images.dtype != np.uint8 or images.ndim != len("nhwc"):
        raise ValueError(f"images are {images.dtype} {images.shape}, not uint8 (n, h, w, c)")


def bits_per_dim(log_prob: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """Negative log-likelihood in bits, per dimension: ``-log p(x) / (D ln 2)``.

    With x on the scale [0, 256) these are the bits of the discrete 8-bit image; nothing is added.

    Args:
        log_prob: ``(n,)``, nats.
        dimensions: D, height times width times channels.

    Returns:
        ``(n,)``.

    Raises:
        ValueError: if ``dimensions`` is not positive.

    References:
        Theis et al. 2016, "A note on the evaluation of generative models", section 3.1.
    """
    if dimensions < 1:
        raise ValueError(f"dimensions is {dimensions}, not positive")
    return -np.asarray(log_prob, np.float64) / (dimensions * np.log(2))


def mean_and_standard_error(values: ArrayLike) -> tuple[float, float]:
    """The mean, and the standard deviation (n - 1 degrees of freedom) over the root of n.

    Args:
        values: ``(n,)``.

    Returns:
        Mean and standard error; the error of a single value is NaN.

    Raises:
        ValueError: if there are no values or one of them is NaN.
    """
    v = np.asarray(values, np.float64)
    if v.ndim != 1 or not v.size:
        raise ValueError(f"values have shape {v.shape}; a mean needs (n,) with n > 0")
    if np.isnan(v).any():
        raise ValueError(f"value {int(np.isnan(v).argmax())} is NaN")
    error = v.std(ddof=1) / np.sqrt(v.size) if v.size > 1 else np.nan
    return float(v.mean()), float(error)
