"""Images: generation and outlier detection, the two sides of one density."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.applications.base import Evaluation, one_hot
from flow_models.applications.image_report import headlines, sections, summary
from flow_models.applications.image_scores import ScoredImages, score_images
from flow_models.applications.images import ImageApplication
from flow_models.evaluation import outliers
from flow_models.evaluation.conformal import benjamini_hochberg
from flow_models.evaluation.likelihood import bits_per_dim, dequantise, mean_and_standard_error
from flow_models.evaluation.outlier_score import SCORES
from flow_models.model import to_images
from flow_models.report.charts import histogram_edges, histogram_shares
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

MEASURES: dict[str, Callable[[Any, Any], float]] = {
    "auroc": outliers.auroc,
    "average_precision": outliers.average_precision,
    "fpr_at_95_tpr": outliers.fpr_at_95_tpr,
}
_ROC_POINTS = 200


class ImageAnomaly(ImageApplication):
    """Trained on images of some classes, the model generates more, and tells others from them."""

    name = "image_anomaly"

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure the likelihood of fresh inliers, and how well each score finds each outlier class.

        Every image is dequantised with one fixed field of noise, drawn from ``settings.seed``: its
        score depends on itself alone.

        Raises:
            FlowModelsError: if the shards have another shape than the model, too few inliers, or
                images on which the model has no finite density.
        """
        scored = score_images(settings, model)
        errors = reconstruction_errors(settings, model, scored)
        dimensions = int(np.prod(model.event_shape))
        metrics = _metrics(scored, dimensions=dimensions, alpha=settings.evaluate.alpha) | {
            "reconstruction_error": errors["inliers"],
            "reconstruction": errors,
        }
        return Evaluation(
            title="Image generation and outlier detection",
            summary=summary(metrics),
            metrics=metrics,
            tables={"roc": _roc_table(scored), "histogram": _histogram_table(scored), "scores": _score_table(scored)},
            headlines=headlines(metrics),
            sections=sections(settings, model, scored, metrics),
        )


APPLICATION = ImageAnomaly()


def reconstruction_errors(settings: Settings, model: FlowModel, scored: ScoredImages) -> dict[str, float]:
    """Largest ``|x - decode(encode(x))| / 256`` over a batch of each set of val/ and of images far from any.

    Far from the data the network was never asked to be gentle: there an inverse breaks first (Behrmann et al. 2021,
    "Understanding and mitigating exploding inverses in invertible neural networks"). What is not finite counts as
    the largest float32.
    """
    size, shape = settings.evaluate.batch_size, model.event_shape
    rng = np.random.default_rng(settings.seed)
    classes = None if model.classes is None else one_hot(np.arange(size) % model.classes, model.classes)
    sets = {
        **{name: each.images.images[:size] for name, each in scored.named().items()},
        "generated": to_images(model.sample(size, context=classes, seed=settings.seed)),
        "all black": np.zeros((1, *shape), np.uint8),
        "all white": np.full((1, *shape), 255, np.uint8),
        "random pixels": rng.integers(0, 256, (size, *shape)).astype(np.uint8),
    }
    return {name: _reconstruction_error(model, dequantise(images, seed=settings.seed)) for name, images in sets.items()}


def _reconstruction_error(model: FlowModel, x: NDArray[np.float32]) -> float:
    error = float(np.abs(np.asarray(model.decode(model.encode(x))) - x).max() / 256)
    return error if np.isfinite(error) else float(np.finfo(np.float32).max)


def _metrics(scored: ScoredImages, *, dimensions: int, alpha: float) -> dict[str, Any]:
    bits, error = mean_and_standard_error(bits_per_dim(scored.inliers.log_prob, dimensions))
    return {
        "bits_per_dim": bits,
        "bits_per_dim_se": error,
        "holdout_bits_per_dim": float(bits_per_dim(scored.holdout.log_prob, dimensions).mean()),
        # Far from all training images a density falls without bound: one image would make the mean.
        "outlier_median_bits_per_dim": {
            name: float(np.median(bits_per_dim(each.log_prob, dimensions))) for name, each in scored.outliers.items()
        },
        **detection_measures(scored),
        **alarm_measures(scored, alpha=alpha),
        "images": {
            "holdout": len(scored.holdout.log_prob),
            "calibration": len(scored.score.calibration),
            "inliers": len(scored.inliers.log_prob),
            "outliers": {name: len(each.log_prob) for name, each in scored.outliers.items()},
        },
    }


def detection_measures(scored: ScoredImages) -> dict[str, Any]:
    """How well each score finds each outlier set, and its mean AUROC over the sets."""
    measured = {
        measure: {
            name: {score: function(scored.inliers.scores[score], each.scores[score]) for score in SCORES}
            for name, each in scored.outliers.items()
        }
        for measure, function in MEASURES.items()
    }
    means = {score: [each[score] for each in measured["auroc"].values()] for score in SCORES}
    mean_auroc = {score: float(np.mean(values)) for score, values in means.items()} if scored.outliers else {}
    return {**measured, "mean_auroc": mean_auroc}


def alarm_measures(scored: ScoredImages, *, alpha: float) -> dict[str, Any]:
    """What the p-values of the default score find at a level.

    ``alarm_rate``: the share of each set with a p-value of at most α; of inliers, the rate of false alarms.
    ``discoveries``: of each outlier set mixed with all inliers, the share that Benjamini-Hochberg finds at α, and the
    share of inliers among what it finds, which α bounds on average.
    """
    inliers, discoveries = scored.inliers.p_values, {}
    for name, each in scored.outliers.items():
        found = benjamini_hochberg(np.concatenate([inliers, each.p_values]), level=alpha)
        false = int(found[: len(inliers)].sum())
        discoveries[name] = {"found": float(found[len(inliers) :].mean()), "false": false / max(int(found.sum()), 1)}
    return {
        "alpha": alpha,
        "smallest_p_value": scored.score.smallest_p_value,
        "alarm_rate": {name: float((each.p_values <= alpha).mean()) for name, each in scored.named().items()},
        "discoveries": discoveries,
    }


def _roc_table(scored: ScoredImages) -> pd.DataFrame:
    """Columns set, score, false_positive_rate, true_positive_rate; thinned to what a plot can show."""
    rows: list[tuple[str, str, float, float]] = []
    for name, each in scored.outliers.items():
        for score in SCORES:
            fpr, tpr = outliers.roc_curve(scored.inliers.scores[score], each.scores[score])
            kept = np.unique(np.linspace(0, len(fpr) - 1, _ROC_POINTS).astype(int))
            rows.extend((name, score, *rates) for rates in zip(fpr[kept], tpr[kept], strict=True))
    return pd.DataFrame(rows, columns=["set", "score", "false_positive_rate", "true_positive_rate"])


def _histogram_table(scored: ScoredImages) -> pd.DataFrame:
    """Columns score, set, value (the middle of a bin), share (of the set)."""
    rows: list[tuple[str, str, float, float]] = []
    for score in SCORES:
        sets = {name: each.scores[score] for name, each in scored.named().items()}
        edges = histogram_edges(sets)
        middles = (edges[:-1] + edges[1:]) / 2
        for name, values in sets.items():
            shares = histogram_shares(values, edges)
            rows.extend((score, name, *bar) for bar in zip(middles, shares, strict=True))
    return pd.DataFrame(rows, columns=["score", "set", "value", "share"])


def _score_table(scored: ScoredImages) -> pd.DataFrame:
    """One row an image of val/: key, set, every score, and the p-value of the default one."""
    tables = [
        pd.DataFrame({"key": each.images.keys, "set": name, **each.scores, "p_value": each.p_values})
        for name, each in scored.named().items()
    ]
    return pd.concat(tables, ignore_index=True)
