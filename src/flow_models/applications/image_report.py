"""The report on images: what it says, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flow_models.applications.image_pictures import (
    SCORE_NAMES,
    gallery,
    histograms,
    interpolation,
    latent_plane,
    most_and_least_likely,
    most_outlying,
    reconstruction,
    roc,
    samples,
    training_course,
)
from flow_models.applications.image_scores import ScoredImages
from flow_models.evaluation.likelihood import bits_per_dim
from flow_models.evaluation.outlier_score import DEFAULT, SCORES
from flow_models.report.page import Headline, Section, Table
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel


_BESIDE = ("likelihood", "compressor")  # that the default score has to beat


def summary(metrics: Mapping[str, Any]) -> str:
    """What was measured on what, and what came out."""
    images = metrics["images"]
    text = (
        f"Measured on {images['inliers']:,} validation images of the classes it was trained on: "
        f"{metrics['bits_per_dim']:.3f} bits per dimension."
    )
    mean = metrics["mean_auroc"]
    if not mean:
        return f"{text} There are no outlier classes in val/, so outlier detection was not measured."
    kinds = "one set" if len(metrics["auroc"]) == 1 else f"{len(metrics['auroc'])} sets"
    return (
        f"{text} Against {kinds} of outliers, the {SCORE_NAMES[DEFAULT]} score has a mean AUROC of "
        f"{mean[DEFAULT]:.3f}; the likelihood alone has {mean['likelihood']:.3f}, and the size of the PNG file, which "
        f"needs no model, {mean['compressor']:.3f}."
    )


def headlines(metrics: Mapping[str, Any]) -> list[Headline]:
    """Bits per dimension, the mean AUROC of the default score and of what it must beat, and the false alarms."""
    error = metrics["bits_per_dim_se"]
    first = Headline("validation inliers", f"{metrics['bits_per_dim']:.3f}", f"bits per dimension, ± {error:.3f}")
    if not metrics["mean_auroc"]:
        return [first]
    alarms = Headline(
        "false alarms", f"{metrics['alarm_rate']['inliers']:.3f}", f"of validation inliers, at α = {metrics['alpha']:g}"
    )
    shown = (DEFAULT, *(score for score in SCORES if score in _BESIDE))
    note = f"mean AUROC against {', '.join(metrics['auroc'])}"
    return [
        first,
        *(Headline(SCORE_NAMES[score], f"{metrics['mean_auroc'][score]:.3f}", note) for score in shown),
        alarms,
    ]


def sections(settings: Settings, model: FlowModel, scored: ScoredImages, metrics: Mapping[str, Any]) -> list[Section]:
    """Everything the report shows, in order."""
    detection = [_detection(scored, metrics)] if scored.outliers else []
    return [
        *detection,
        _likelihood(settings, scored),
        _generation(settings, model),
        _latent(settings, model, scored, metrics),
    ]


def _detection(scored: ScoredImages, metrics: Mapping[str, Any]) -> Section:
    pictures = {
        "roc": roc(scored, metrics["auroc"]),
        "histograms": histograms(scored),
        **{f"top_outliers_{name}": most_outlying(name, each) for name, each in scored.outliers.items()},
    }
    return Section(
        "Outlier detection",
        "Inliers are validation images of the trained classes. Every other class in val/ is a set of outliers, and "
        "outliers are the positive class. Typicality is the distance of the negative log-likelihood from its mean on "
        "held-out training images; input complexity is the model's bits less those of a PNG file; the goodness of fit "
        "says how far the latents are from white noise. The density of states is over the parts of the likelihood and "
        "the PNG's size together. Combined are that and how much likelier an image is upside down and mirrored than as "
        "it stands; this is the default, chosen on other data than these.",
        tables=[
            measure_table("AUROC, 0.5 being chance and 1 perfect", metrics["auroc"]),
            measure_table("Average precision; chance gives the share of outliers", metrics["average_precision"]),
            measure_table("False-positive rate where 95 % of the outliers are found", metrics["fpr_at_95_tpr"]),
            _alarm_table(metrics),
        ],
        pictures=pictures,
        galleries=[gallery(scored)],
    )


def _alarm_table(metrics: Mapping[str, Any]) -> Table:
    """What the p-values find at α, and how coarse they are."""
    alpha, images = metrics["alpha"], metrics["images"]
    caption = (
        f"p-values of the {SCORE_NAMES[DEFAULT]} score, from {images['calibration']} held-out inliers that had no "
        f"other say: none is below {metrics['smallest_p_value']:.2g}. An alarm is a p-value of at most {alpha:g}; "
        f"Benjamini-Hochberg at {alpha:g} looks at a set mixed with all inliers, and bounds the share of inliers among "
        "its finds on average."
    )
    if metrics["smallest_p_value"] > alpha:
        caption += f" Too few to raise an alarm at {alpha:g} at all: hold out more, or raise evaluate.alpha."
    counts = {"inliers": images["inliers"], **images["outliers"]}
    rows = []
    for name, rate in metrics["alarm_rate"].items():
        found = metrics["discoveries"].get(name)
        shares = ["", ""] if found is None else [f"{found['found']:.3f}", f"{found['false']:.3f}"]
        rows.append([name, f"{counts[name]:,}", f"{rate:.3f}", *shares])
    columns = ["Images", "number", "alarms", "found by Benjamini-Hochberg", "inliers among the finds"]
    return Table(caption, columns, rows)


def measure_table(caption: str, values: Mapping[str, Mapping[str, float]]) -> Table:
    """A measure of every score, one row an outlier set."""
    rows = [[name, *(f"{scores[score]:.3f}" for score in SCORES)] for name, scores in values.items()]
    return Table(caption, ["Outlier set", *SCORE_NAMES.values()], rows)


def _likelihood(settings: Settings, scored: ScoredImages) -> Section:
    dimensions = int(np.prod(settings.data.shape))
    sets = {"held-out training images": scored.holdout, **scored.named()}
    bits = {name: bits_per_dim(each.log_prob, dimensions) for name, each in sets.items()}
    pictures = {"likely": most_and_least_likely(scored.holdout, dimensions=dimensions)}
    history = settings.model_folder / "history.csv"
    if history.exists():
        pictures["history"] = training_course(pd.read_csv(history))
    return Section(
        "Likelihood",
        "Bits per dimension of the 8-bit images at the size the network sees, by exact likelihood with uniform "
        "dequantisation: lower is better, and 8 is what storing the pixels takes.",
        tables=[
            Table(
                "Bits per dimension",
                ["Images", "number", "median", "mean"],
                [[name, f"{len(b):,}", f"{np.median(b):.4g}", f"{b.mean():.4g}"] for name, b in bits.items()],
            )
        ],
        pictures=pictures,
    )


def _generation(settings: Settings, model: FlowModel) -> Section:
    return Section(
        "Generation",
        "Images drawn from the model. The temperature scales the latent draw: below 1 samples are more typical and "
        "less varied, and at 1 they follow the learned density.",
        pictures={"samples": samples(settings, model)},
    )


def _latent(settings: Settings, model: FlowModel, scored: ScoredImages, metrics: Mapping[str, Any]) -> Section:
    return Section(
        "Latent space",
        "Where the network carries images to. Trained images should fill the standard normal distribution that "
        "samples are drawn from.",
        tables=[
            Table(
                "Largest difference after encoding and decoding, as a share of the 256 grey levels",
                ["Images", "difference"],
                [[name, f"{error:.1e}"] for name, error in metrics["reconstruction"].items()],
            )
        ],
        pictures={
            "latent": latent_plane(settings, model, scored),
            "interpolation": interpolation(settings, model, scored.inliers),
            "reconstruction": reconstruction(settings, model, scored, metrics["reconstruction_error"]),
        },
    )
