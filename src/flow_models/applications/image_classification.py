"""Images by class: generated class by class, classified by Bayes' rule, refused where they are of no class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from flow_models.applications.base import Evaluation, class_base
from flow_models.applications.class_pictures import reliability
from flow_models.applications.image_anomaly import detection_measures, reconstruction_errors
from flow_models.applications.image_class_pictures import class_samples, confusion, mistakes
from flow_models.applications.image_pictures import SCORE_NAMES, histograms, roc
from flow_models.applications.image_report import measure_table
from flow_models.applications.image_scores import ScoredImages, score_images
from flow_models.applications.images import ImageApplication, class_numbers
from flow_models.data.shards import Index
from flow_models.evaluation import classification
from flow_models.evaluation.likelihood import bits_per_dim, dequantise, mean_and_standard_error
from flow_models.report.page import Headline, Section, Table
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel


@dataclass(frozen=True)
class Classified:
    """Inliers of val/ with their true classes ``(n,)`` and the model's probabilities ``(n, k)``."""

    classes: Sequence[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


class ImageClassification(ImageApplication):
    """Trained on images and their class folders: one density a class (Mackowiak, Ardizzone et al. 2021)."""

    name = "image_classification"

    def latent(self, settings: Settings, index: Index) -> dict[str, Any]:
        """A learned mean for each class.

        Raises:
            FlowModelsError: if there is one class only.
        """
        counts = index.splits["train"].classes
        labels = np.repeat(np.arange(len(counts)), list(counts.values()))
        base = class_base(settings, labels, classes=len(counts), width=int(np.prod(index.shape)))
        return {"base": base, "about": {"application": self.name, "classes": list(counts)}}

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure accuracy and calibration on fresh images of the classes, and how well others are refused.

        Raises:
            FlowModelsError: if the shards have another shape or other classes than the model.
        """
        scored = score_images(settings, model)
        inliers = scored.inliers.images
        labels = class_numbers(inliers, model.about["classes"])
        judged = Classified(model.about["classes"], labels, class_probabilities(settings, model, inliers.images))
        errors = reconstruction_errors(settings, model, scored)
        metrics = _metrics(scored, judged) | {"reconstruction_error": errors["inliers"], "reconstruction": errors}
        return Evaluation(
            title="Generative classification of images",
            summary=_summary(metrics),
            metrics=metrics,
            tables={"reliability": _reliability_table(judged)},
            headlines=_headlines(metrics),
            sections=_sections(settings, model, scored, judged, metrics),
        )


APPLICATION = ImageClassification()


def class_probabilities(settings: Settings, model: FlowModel, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``p(class | image)`` by Bayes' rule from exact class-conditional likelihoods, ``(n, k)``."""
    size, parts = settings.evaluate.batch_size, []
    for start in range(0, len(images), size):
        joint = model.joint_log_prob(dequantise(images[start : start + size], seed=settings.seed))
        parts.append(softmax(np.asarray(joint, np.float64), axis=1))
    return np.concatenate(parts)


def _metrics(scored: ScoredImages, judged: Classified) -> dict[str, Any]:
    dimensions = int(np.prod(scored.inliers.images.images.shape[1:]))
    bits, error = mean_and_standard_error(bits_per_dim(scored.inliers.log_prob, dimensions))
    probabilities, labels = judged.probabilities, judged.labels
    return {
        "accuracy": classification.accuracy(probabilities, labels),
        "ece": classification.expected_calibration_error(probabilities, labels),
        "mce": classification.maximum_calibration_error(probabilities, labels),
        "label_negative_log_likelihood": classification.negative_log_likelihood(probabilities, labels),
        "bits_per_dim": bits,
        "bits_per_dim_se": error,
        **detection_measures(scored),
        "images": {
            "inliers": len(labels),
            "outliers": {name: len(each.log_prob) for name, each in scored.outliers.items()},
        },
    }


def _summary(metrics: Mapping[str, Any]) -> str:
    images = metrics["images"]
    text = (
        f"Measured on {images['inliers']:,} validation images: {100 * metrics['accuracy']:.2f} % are classified "
        f"rightly, and confidence is off by {100 * metrics['ece']:.2f} % on average."
    )
    refused = ", ".join(f"{name} {areas['likelihood']:.3f}" for name, areas in metrics["auroc"].items())
    return f"{text} Images of no class are told by their likelihood with AUROC: {refused}." if refused else text


def _headlines(metrics: Mapping[str, Any]) -> list[Headline]:
    return [
        Headline("accuracy", f"{100 * metrics['accuracy']:.2f} %", "of validation images of the classes"),
        Headline("calibration error", f"{100 * metrics['ece']:.2f} %", "expected, 15 bins"),
        Headline(
            "likelihood", f"{metrics['bits_per_dim']:.3f}", f"bits per dimension, ± {metrics['bits_per_dim_se']:.3f}"
        ),
        *(
            Headline(
                f"refusing by {SCORE_NAMES[score]}", f"{value:.3f}", f"mean AUROC against {', '.join(metrics['auroc'])}"
            )
            for score, value in metrics["mean_auroc"].items()
        ),
    ]


def _reliability_table(judged: Classified) -> pd.DataFrame:
    """Columns confidence, accuracy, share: one row a bin with predictions."""
    curve = classification.reliability_curve(judged.probabilities, judged.labels)
    return pd.DataFrame({"confidence": curve.confidence, "accuracy": curve.accuracy, "share": curve.share}).dropna()


def _sections(
    settings: Settings, model: FlowModel, scored: ScoredImages, judged: Classified, metrics: Mapping[str, Any]
) -> list[Section]:
    curve = classification.reliability_curve(judged.probabilities, judged.labels)
    wrong = {"mistakes": mistakes(scored.inliers.images.images, judged)} if metrics["accuracy"] < 1 else {}
    sections = [
        Section(
            "Classification",
            "The class of an image is the one under which it is most likely, times the class's share: Bayes' rule from "
            "exact likelihoods.",
            tables=[_class_table(judged)],
            pictures={"reliability": reliability({"flow": curve}), "confusion": confusion(judged), **wrong},
        ),
        Section(
            "Generation",
            "One row a class, drawn about its mean in the latent space.",
            pictures={"class_samples": class_samples(settings, model)},
        ),
    ]
    if scored.outliers:
        refusal = Section(
            "Refusal",
            "Every other class folder in val/ is of none of the classes. Such images are outliers of the density over "
            "all classes.",
            tables=[measure_table("AUROC, 0.5 being chance and 1 perfect", metrics["auroc"])],
            pictures={"roc": roc(scored, metrics["auroc"]), "histograms": histograms(scored)},
        )
        sections.append(refusal)
    return sections


def _class_table(judged: Classified) -> Table:
    right = judged.probabilities.argmax(axis=1) == judged.labels
    rows = []
    for number, name in enumerate(judged.classes):
        own = judged.labels == number
        share = f"{100 * right[own].mean():.2f} %" if own.any() else "none"
        rows.append([name, f"{own.sum():,}", share])
    return Table("Accuracy by class", ["Class", "images", "rightly classified"], rows)
