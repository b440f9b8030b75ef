"""Outlier scores of images, and how well a score separates outliers from inliers.

Every score is higher the more outlying an image is. In every measure the outliers are the
positive class: a true positive is an outlier that is found, a false positive an inlier that is
taken for one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn import metrics

Scores = NDArray[np.float64]

_FOUND = 0.95


def negative_log_likelihood(log_prob: ArrayLike) -> Scores:
    """``-log p(x)``: an image is outlying if it is improbable.

    Known to fail where outliers are simpler than inliers (Nalisnick et al. 2019,
    "Do deep generative models know what they don't know?", arXiv:1810.09136).

    Args:
        log_prob: ``(n,)``, nats.

    Returns:
        ``(n,)``, nats.
    """
    return -np.asarray(log_prob, np.float64)


def typicality(log_prob: ArrayLike, *, entropy: float) -> Scores:
    """``|-log p(x) - H|``: an image is outlying if it is less or more probable than inliers are.

    Args:
        log_prob: ``(n,)``, nats.
        entropy: H, nats, of the model: the mean negative log-likelihood of inliers that took no part in training.

    Returns:
        ``(n,)``, nats.

    References:
        Nalisnick et al. 2019, "Detecting out-of-distribution inputs to deep generative models
        using typicality", arXiv:1906.02994, eq. 4 with batches of one.
    """
    return np.abs(negative_log_likelihood(log_prob) - entropy)


def input_complexity(log_prob: ArrayLike, *, compressor_bits: ArrayLike) -> Scores:
    """``-log2 p(x) - L(x)``: an image is outlying if the model needs more bits than a compressor.

    Args:
        log_prob: ``(n,)``, nats, of the discrete images.
        compressor_bits: ``(n,)``, L, such as `compressors.compressed_bits` gives.

    Returns:
        ``(n,)``, bits.

    Raises:
        ValueError: if the lengths differ.

    References:
        Serrà et al. 2020, "Input complexity and out-of-distribution detection with
        likelihood-based generative models", arXiv:1909.11480, eq. 1.
    """
    bits, compressor = negative_log_likelihood(log_prob) / np.log(2), np.asarray(compressor_bits, np.float64)
    if bits.shape != compressor.shape:
        raise ValueError(f"log_prob {bits.shape} and compressor_bits {compressor.shape} do not belong together")
    return bits - compressor


def goodness_of_fit(latent_statistics: ArrayLike) -> Scores:
    """``Σ_k t_k²``: an image is outlying if its latents are not white noise of variance one.

    Args:
        latent_statistics: t, ``(n, k)``, each N(0, 1), nearly, if the latents are N(0, I): mean, square and
            correlation of neighbours, as in ``flow_models.statistics``.

    Returns:
        ``(n,)``; about χ² with k degrees of freedom for latents of N(0, I).

    References:
        Box & Pierce 1970, "Distribution of residual autocorrelations", eq. 1.3; Wang et al. 2020, "Further analysis
        of outlier detection with deep generative models", arXiv:2010.13064, section 3.2.
    """
    return np.asarray((np.asarray(latent_statistics, np.float64) ** 2).sum(axis=1))


def auroc(inlier_scores: ArrayLike, outlier_scores: ArrayLike) -> float:
    """Probability that an outlier scores higher than an inlier, ties counting half.

    Args:
        inlier_scores: ``(n,)``.
        outlier_scores: ``(m,)``.

    Returns:
        A number in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: if either side is empty or has a NaN.

    References:
        Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve".
    """
    return float(metrics.roc_auc_score(*_labels_and_ranks(inlier_scores, outlier_scores)))


def average_precision(inlier_scores: ArrayLike, outlier_scores: ArrayLike) -> float:
    """Precision of finding outliers, averaged over recall: ``Σ (R_k - R_{k-1}) P_k``.

    It depends on the share of outliers, which is what chance gives.

    Args:
        inlier_scores: ``(n,)``.
        outlier_scores: ``(m,)``.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: if either side is empty or has a NaN.

    References:
        Davis & Goadrich 2006, "The relationship between precision-recall and ROC curves".
    """
    return float(metrics.average_precision_score(*_labels_and_ranks(inlier_scores, outlier_scores)))


def fpr_at_95_tpr(inlier_scores: ArrayLike, outlier_scores: ArrayLike) -> float:
    """Share of inliers taken for outliers at the threshold that finds 95 % of the outliers.

    Args:
        inlier_scores: ``(n,)``.
        outlier_scores: ``(m,)``.

    Returns:
        A number in [0, 1]; 0 is best.

    Raises:
        ValueError: if either side is empty or has a NaN.

    References:
        Liang et al. 2018, "Enhancing the reliability of out-of-distribution image detection in
        neural networks", section 4.3, with outliers as the positive class.
    """
    fpr, tpr = roc_curve(inlier_scores, outlier_scores)
    return float(fpr[tpr >= _FOUND].min())


def roc_curve(inlier_scores: ArrayLike, outlier_scores: ArrayLike) -> tuple[Scores, Scores]:
    """False and true positive rates at every threshold, from the strictest to the loosest.

    Args:
        inlier_scores: ``(n,)``.
        outlier_scores: ``(m,)``.

    Returns:
        Two arrays ``(k,)`` from (0, 0) to (1, 1).

    Raises:
        ValueError: if either side is empty or has a NaN.
    """
    labels, ranks = _labels_and_ranks(inlier_scores, outlier_scores)
    fpr, tpr, _ = metrics.roc_curve(labels, ranks, drop_intermediate=False)
    return np.asarray(fpr), np.asarray(tpr)


def _labels_and_ranks(inlier_scores: ArrayLike, outlier_scores: ArrayLike) -> tuple[Scores, Scores]:
    """Labels (1: outlier) and ranks: the measures see order only, and infinite scores have a rank."""
    inliers, outliers = _checked(inlier_scores, "inlier_scores"), _checked(outlier_scores, "outlier_scores")
    labels = np.repeat([0.0, 1.0], [inliers.size, outliers.size])
    return labels, rankdata(np.concatenate([inliers, outliers]), method="dense").astype(np.float64)


def _checked(values: ArrayLike, name: str) -> Scores:
    v = np.asarray(values, np.float64)
    if v.ndim != 1 or not v.size:
        raise ValueError(f"{name} has shape {v.shape}; it must be (n,) with n > 0")
    if np.isnan(v).any():
        raise ValueError(f"{name}[{int(np.isnan(v).argmax())}] is NaN")
    return v
