"""Are the images of the source still those that the champion was trained on, and does it still see them as inliers?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_models.data.atomic import complete_file
from flow_models.errors import FlowModelsError
from flow_models.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from flow_models.applications.image_drift import Statistics
    from flow_models.evaluation.drift import Decay, Shift
    from flow_models.registry.promotion import Version

DRIFT_REPORT = Path("reports/drift")
RESULT = DRIFT_REPORT / "drift.json"
PAGE = DRIFT_REPORT / "drift.html"
_FEWEST = 20  # images on a side: with fewer, no comparison would find anything


@dataclass(frozen=True)
class Sides:
    """Rows of manifests: what the champion was trained on, what has come since, and what it never learned from.

    Attributes:
        reference: of ``train/``, then.
        recent: of ``train/``, now, but not then or of another content.
        held_out: inliers of ``val/``, then and now.
        removed: how many images, of ``train/`` and ``val/``, are gone.
        changed: how many have another content.
        added: how many are new.
    """

    reference: pd.DataFrame
    recent: pd.DataFrame
    held_out: pd.DataFrame
    added: int
    removed: int
    changed: int


def drift(settings: Settings) -> dict[str, Any]:
    """Compare the images of the source with those of the champion, in ``reports/drift/drift.json`` and ``.html``.

    The rate of false alarms is ``drift.level`` in all: half of it for the statistics of the data, half for the
    model's alarms. What was found is noted on the champion too. With no champion, or one whose data are not on record,
    there is nothing to compare.

    Raises:
        FlowModelsError: if the application has no images, or the source or MLflow cannot be read.
    """
    from flow_models.applications import find_application
    from flow_models.applications.vectors import VectorApplication
    from flow_models.data.manifest import read_manifest
    from flow_models.data_stages import NEWEST, describe_newest
    from flow_models.registry.promotion import CHALLENGER, CHAMPION
    from flow_models.registry.tracking import connect
    from flow_models.registry.watching import record_drift

    if isinstance(find_application(settings.application), VectorApplication):
        raise FlowModelsError(f"{settings.application}: learns from no images; drift is measured on images")
    described = describe_newest(settings)
    versions = _versions(settings)
    found: dict[str, Any] = {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "source": settings.data.source,
        "images": described.images,
        "data": described.digest,
        **{alias: _brief(versions[alias]) for alias in (CHAMPION, CHALLENGER) if alias in versions},
    }
    champion = versions.get(CHAMPION)
    reference = _reference(champion) if champion else None
    if champion is None or reference is None:
        said = "there is no champion" if champion is None else "the champion's images are not on record"
        found |= {"compared": False, "reasons": [said]}
    else:
        sides = compare(reference, read_manifest(NEWEST), inliers=settings.data.inliers)
        found |= _measured(settings, champion, sides, images=len(reference))
    with complete_file(RESULT) as unfinished:
        unfinished.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if champion is not None:
        record_drift(connect(), settings.register_.name, champion, found)
    return found


def compare(then: pd.DataFrame, now: pd.DataFrame, *, inliers: list[str]) -> Sides:
    """What came, went and changed from one manifest to the next; files that cannot be read are left out."""
    before = then[["key", "sha256"]].rename(columns={"sha256": "then"})
    both = now.merge(before, on="key", how="left", indicator="side")
    is_new = both["side"] == "left_only"
    is_changed = ~is_new & (both["sha256"].fillna("") != both["then"].fillna(""))
    readable, training = both["error"].isna(), both["split"] == "train"
    normal = inliers or sorted(set(then.loc[then["split"] == "train", "class"]))
    return Sides(
        reference=then[(then["split"] == "train") & then["error"].isna()],
        recent=both[readable & training & (is_new | is_changed)],
        held_out=both[readable & ~training & ~is_new & ~is_changed & both["class"].isin(normal)],
        added=int(is_new.sum()),
        removed=int((~then["key"].isin(now["key"])).sum()),
        changed=int(is_changed.sum()),
    )


def _measured(settings: Settings, champion: Version, sides: Sides, *, images: int) -> dict[str, Any]:
    """The comparison's numbers, and the reasons that they give to train anew."""
    from flow_models.applications.drift_page import drift_page
    from flow_models.applications.image_drift import file_statistics
    from flow_models.evaluation.drift import data_drift
    from flow_models.report.page import write_page

    bounds = settings.drift
    reference, recent = file_statistics(sides.reference), file_statistics(sides.recent)
    decayed = None
    if min(len(sides.recent), len(sides.held_out)) >= _FEWEST:
        then, now, decayed = _seen_by(champion, settings, sides)
        reference |= then
        recent |= now
    shifts = (
        data_drift(reference, recent, level=bounds.level / 2, least_distance=bounds.least_distance)
        if len(sides.recent) >= _FEWEST
        else {}
    )
    changes = {"added": sides.added, "removed": sides.removed, "changed": sides.changed}
    found = {
        "compared": True,
        "changes": changes | {"share": sum(changes.values()) / max(images, 1)},
        "statistics": {name: _plain(shift) for name, shift in shifts.items()},
        "decay": asdict(decayed) if decayed else None,
        "reasons": _reasons(shifts, decayed),
        "page": str(PAGE),
    }
    page = drift_page({**found, "champion": champion.number}, reference, recent, settings)
    write_page(page, PAGE)
    return found


def _seen_by(champion: Version, settings: Settings, sides: Sides) -> tuple[Statistics, Statistics, Decay]:
    """The champion's statistics of images that it never learned from, those of its own day and recent ones.

    And whether it takes more of the recent ones for outliers than its p-values promise.
    """
    from flow_models import console
    from flow_models.applications.image_drift import flow_statistics, outlier_p_values, some_of
    from flow_models.data_stages import read_images
    from flow_models.evaluation.drift import decay
    from flow_models.evaluation.outlier_score import OutlierScore
    from flow_models.registry.load import resolve

    console.import_tensorflow()
    from flow_models.model import FlowModel

    size, bounds = settings.evaluate.batch_size, settings.drift
    folder = resolve(f"models:/{settings.register_.name}/{champion.number}")
    model, score = FlowModel.load(folder), OutlierScore.load(folder)
    height, width, channels = model.event_shape
    then, now = (
        read_images(settings, some_of(rows, bounds.images), (height, width, channels))
        for rows in (sides.held_out, sides.recent)
    )
    decayed = decay(
        outlier_p_values(model, score, now, batch_size=size),
        promised=bounds.promised_alarms,
        calibration_size=len(score.calibration),
        level=bounds.level / 2,
    )
    held_out, recent = (flow_statistics(model, each, seed=settings.seed, batch_size=size) for each in (then, now))
    return held_out, recent, decayed


def _reasons(shifts: Mapping[str, Shift], decayed: Decay | None) -> list[str]:
    """One line a finding."""
    lines = [
        f"{name} has drifted: by {shift.difference:+.2g} standard deviations, distance {shift.distance:.2f}, "
        f"p = {shift.adjusted:.1g}"
        for name, shift in shifts.items()
        if shift.drifted
    ]
    if decayed and decayed.decayed:
        expected = decayed.promised * decayed.images
        lines.append(
            f"the champion finds {decayed.alarms} of {decayed.images} recent images outlying, "
            f"where {expected:.0f} were promised: p = {decayed.p_value:.1g}"
        )
    return lines


def _versions(settings: Settings) -> dict[str, Version]:
    """Champion and challenger, as far as there are any."""
    from flow_models.registry import promotion, tracking

    if not tracking.exists():
        return {}
    client, name = tracking.connect(), settings.register_.name
    found = {alias: promotion.at_alias(client, name, alias) for alias in (promotion.CHAMPION, promotion.CHALLENGER)}
    return {alias: version for alias, version in found.items() if version is not None}


def _plain(shift: Shift) -> dict[str, Any]:
    """As JSON has it, which knows no NaN."""
    return {name: None if value != value else value for name, value in asdict(shift).items()}  # noqa: PLR0124


def _brief(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "data": version.tags.get("data.manifest"),
        "gate": version.tags.get("gate"),
    }


def _reference(champion: Version) -> pd.DataFrame | None:
    from flow_models.registry import tracking
    from flow_models.registry.trained_on import REFERENCES, trained_on

    return trained_on(tracking.connect(), champion, kept=REFERENCES)
