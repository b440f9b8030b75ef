"""The page on drift: what came, how each statistic has moved, and whether the champion still keeps its promise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_models.applications.image_drift import Statistics
from flow_models.report.charts import score_histograms
from flow_models.report.page import Headline, Page, Picture, Section, Table, Verdict
from flow_models.settings import Settings

_AXES = {
    "brightness": "mean pixel value",
    "contrast": "standard deviation of the pixel values",
    "width": "width (pixels)",
    "height": "height (pixels)",
    "bytes": "size of the file (bytes)",
    "bits_per_dim": "bits per dimension",
    "latent_energy": "mean of z²",
    "latent_extreme": "largest |z|",
}
_SHOWN = 4


def drift_page(found: Mapping[str, Any], reference: Statistics, recent: Statistics, settings: Settings) -> Page:
    """What ``flow-models drift`` leaves for people.

    Args:
        found: the champion's version, the ``changes``, the ``statistics``, the ``decay`` and the ``reasons``.
        reference: values of every statistic, of the champion's images.
        recent: of those that came since.
        settings: whose section ``drift`` says what counts.
    """
    changes, shifts, reasons = found["changes"], found["statistics"], found["reasons"]
    sentence = "The images are not what they were." if reasons else "No drift that chance does not explain."
    headlines = [
        Headline("images that differ", f"{changes['share']:.1%}", _sentence(changes)),
        Headline(
            "statistics that drifted", str(sum(shift["drifted"] for shift in shifts.values())), f"of {len(shifts)}"
        ),
    ]
    if decay := found["decay"]:
        promised = f"of {decay['images']} recent images; {decay['promised'] * decay['images']:.0f} were promised"
        headlines.append(Headline("alarms of the champion", str(decay["alarms"]), promised))
    return Page(
        title="Drift of the images",
        summary=(
            f"The images that came since champion version {found['champion']} was trained, beside those that it was "
            "trained on."
        ),
        verdict=Verdict(not reasons, sentence, reasons),
        headlines=headlines,
        sections=[_statistics(shifts, reference, recent)] if shifts else [],
        facts={"source": settings.data.source, "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"},
        metrics=found["changes"],
        settings=settings.drift.model_dump(),
    )


def _statistics(shifts: Mapping[str, Mapping[str, Any]], reference: Statistics, recent: Statistics) -> Section:
    rows = [
        [
            _AXES[name],
            "" if shift["difference"] is None else f"{shift['difference']:+.2f}",
            f"{shift['distance']:.3f}",
            f"{shift['adjusted']:.2g}",
            "drifted" if shift["drifted"] else "",
        ]
        for name, shift in shifts.items()
    ]
    columns = ["Statistic", "Difference (sd)", "Distance", "p, after Holm", ""]
    shown = {
        _AXES[name]: {"the champion's": _finite(reference[name]), "recent": _finite(recent[name])}
        for name in list(shifts)[:_SHOWN]
    }
    picture = Picture(
        score_histograms(shown),
        "The most different statistics",
        "Each outline sums to one; what lies beyond the axis is counted in its outermost bin.",
        "Histograms of the statistics that differ most, of the champion's images and of recent ones.",
    )
    return Section(
        "Statistics",
        "Kolmogorov-Smirnov tests of the files' statistics over train/, and of how the champion sees recent images, "
        "beside images of val/ that it never learned from. All p-values together are held to one rate of false alarms; "
        "a difference must be significant and large enough to matter. Another mix of classes is drift too.",
        tables=[Table("Most different first", columns, rows)],
        pictures={"statistics": picture},
    )


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _sentence(changes: Mapping[str, Any]) -> str:
    return f"{changes['added']} new, {changes['removed']} gone, {changes['changed']} of another content"
