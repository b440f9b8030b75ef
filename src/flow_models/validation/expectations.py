"""The expectations on a set of images, each under the name that ``warn_only`` knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa

from flow_models.data.duplicates import NONE, Twins
from flow_models.data.images import MODES
from flow_models.data.manifest import SPLITS
from flow_models.settings import ValidationSettings
from flow_models.validation.profile import ClassProfile, Profile, shift

Row = dict[str, Any]
COLUMNS = ["key", "split", "class", "width", "height", "mode", "bytes", "mean", "std", "blank", "error"]


@dataclass(frozen=True)
class Named:
    """An expectation, and how a broken one is told.

    Attributes:
        name: in ``warn_only`` and in the Data Docs.
        expectation: Great Expectations' own.
        rule: what it asks.
        advice: what to do if it is broken.
        finding: what is wrong with one row, for an expectation on rows; None for one on the table.
        tolerated: share of the rows that may break it.
        refuses: whether a row that breaks it is left out of the shards.
    """

    name: str
    expectation: gxe.Expectation
    rule: str
    advice: str
    finding: Callable[[Row], str] | None = None
    tolerated: float = 0.0
    refuses: bool = False


def table_of(batch: pa.Table, keys: pa.ChunkedArray, twins: Twins, *, start: int) -> pd.DataFrame:
    """Some rows of a manifest with the columns that expectations need beside its own.

    - ``short_side``, ``long_side``: in pixels; ``aspect``: their ratio; null if unreadable.
    - ``duplicate``, ``near_duplicate``, ``leak``, ``near_leak``: the key of the other one, else null.

    What strangers wrote, keys and errors, stands there as HTML: the Data Docs show it as it is.

    Args:
        batch: with ``COLUMNS``.
        keys: of the whole manifest.
        twins: of the whole manifest.
        start: number of the batch's first row.
    """
    table = batch.select(COLUMNS).to_pandas()
    sides = table[["width", "height"]]
    table = table.assign(
        key=table["key"].map(escape),
        error=table["error"].map(escape, na_action="ignore"),
        short_side=sides.min(axis=1),
        long_side=sides.max(axis=1),
        aspect=sides.max(axis=1) / sides.min(axis=1),
        blank=table["blank"].astype("boolean"),
    )
    for name in ("duplicate", "near_duplicate", "leak", "near_leak"):
        others = getattr(twins, name)[start : start + len(table)]
        other_keys = keys.take(pa.array(others, mask=others == NONE)).to_pandas()
        table[name] = other_keys.astype("str").map(escape, na_action="ignore")
    return table


def classes_of(profile: Profile, accepted: Profile | None) -> pd.DataFrame:
    """A row a class folder, of this set and of the one that was accepted last.

    - ``key``: the folder; ``split``: null if it is no longer there.
    - ``usable``: images that are not refused; ``kept``: their share of what the accepted set had.
    - ``new``, ``vanished``: against the accepted set.
    - ``shift``: of brightness or contrast, whichever is greater, against the accepted set.
    """
    before = {} if accepted is None else accepted.classes
    rows: list[Row] = []
    for name in sorted({**profile.classes, **before}):
        now, then = profile.classes.get(name), before.get(name)
        rows.append(
            {
                "key": escape(name) + "/",
                "split": name.split("/")[0] if now else None,
                "usable": now.usable if now else None,
                "new": accepted is not None and then is None,
                "vanished": now is None,
                **(_against(now, then) if now and then else {}),
            }
        )
    columns = ["key", "split", "usable", "new", "vanished", "kept", "shift"]
    kinds = {"split": "str", "usable": "Int64", "kept": "Float64", "shift": "Float64"}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def expectations_on_images(settings: ValidationSettings) -> list[Named]:
    """The suite for the rows of ``table_of`` that these settings ask for."""
    return [*_readable(settings), *_measures(settings), *_copies(settings)]


def expectations_on_classes(settings: ValidationSettings) -> list[Named]:
    """The suite for the rows of ``classes_of`` that these settings ask for."""
    return [
        Named(
            "images",
            gxe.ExpectTableRowCountToBeBetween(min_value=1),
            "there must be images",
            "lay them out as train/<class>/… and val/<class>/…",
        ),
        Named(
            "splits",
            gxe.ExpectColumnDistinctValuesToContainSet(column="split", value_set=list(SPLITS)),
            "train/ and val/ must both have images",
            "val/<class>/… holds normal ones kept back, and outliers",
        ),
        Named(
            "min_images_per_class",
            gxe.ExpectColumnValuesToBeBetween(column="usable", min_value=settings.min_images_per_class),
            f"every class must have at least {settings.min_images_per_class} usable images",
            "add some, remove the folder or lower validation.min_images_per_class",
            lambda row: f"{row['usable']:.0f} usable",
        ),
        Named(
            "max_class_loss",
            gxe.ExpectColumnValuesToBeBetween(column="kept", min_value=_share(settings.max_class_loss)),
            f"a class may lose at most {100 * settings.max_class_loss:g} % of the images that were accepted last",
            "bring them back, or run `flow-models data accept`",
            lambda row: f"{100 * row['kept']:.3g} % of the images that were accepted last",
        ),
        Named(
            "vanished_classes",
            gxe.ExpectColumnValuesToBeInSet(column="vanished", value_set=[False]),
            "every class that was accepted last must be there",
            "bring it back, or run `flow-models data accept`",
            lambda _: "gone",
        ),
        Named(
            "new_classes",
            gxe.ExpectColumnValuesToBeInSet(column="new", value_set=[False]),
            "every class must be among those that were accepted last",
            "remove it, or run `flow-models data accept`",
            lambda _: "new",
        ),
        Named(
            "max_shift",
            gxe.ExpectColumnValuesToBeBetween(column="shift", max_value=settings.max_shift),
            f"brightness and contrast of a class may move by {settings.max_shift:g} standard deviations",
            "look at the new images, or run `flow-models data accept`",
            lambda row: f"moved by {row['shift']:.2g} standard deviations since it was accepted last",
        ),
    ]


def _readable(settings: ValidationSettings) -> list[Named]:
    return [
        Named(
            "max_unreadable",
            gxe.ExpectColumnValuesToBeNull(column="error", mostly=_share(settings.max_unreadable)),
            f"at most {100 * settings.max_unreadable:g} % of the files may be unreadable",
            "repair or remove them",
            lambda row: unescape(row["error"]),
            tolerated=settings.max_unreadable,
            refuses=True,
        ),
        Named(
            "modes",
            gxe.ExpectColumnValuesToBeInSet(column="mode", value_set=list(MODES)),
            "pixels must be of 8 or 16 bits, whose range is known",
            "convert it",
            lambda row: f"pixels of mode {row['mode']}",
            refuses=True,
        ),
    ]


def _measures(settings: ValidationSettings) -> list[Named]:
    return [
        Named(
            "min_side",
            gxe.ExpectColumnValuesToBeBetween(column="short_side", min_value=settings.min_side),
            f"the shorter side must have at least {settings.min_side} pixels",
            "remove it or lower validation.min_side",
            lambda row: f"shorter side of {row['short_side']:.0f}",
            refuses=True,
        ),
        Named(
            "max_side",
            gxe.ExpectColumnValuesToBeBetween(column="long_side", max_value=settings.max_side),
            f"the longer side must have at most {settings.max_side} pixels",
            "shrink it or raise validation.max_side",
            lambda row: f"longer side of {row['long_side']:.0f}",
            refuses=True,
        ),
        Named(
            "max_aspect",
            gxe.ExpectColumnValuesToBeBetween(column="aspect", max_value=settings.max_aspect),
            f"the longer side may be at most {settings.max_aspect:g} times the shorter",
            "crop it or raise validation.max_aspect",
            lambda row: f"{row['aspect']:.3g} times longer than wide",
            refuses=True,
        ),
        Named(
            "max_bytes",
            gxe.ExpectColumnValuesToBeBetween(column="bytes", max_value=settings.max_bytes),
            f"a file must have at most {settings.max_bytes} bytes",
            "shrink it or raise validation.max_bytes",
            lambda row: f"{row['bytes']:.0f} bytes",
            refuses=True,
        ),
        Named(
            "max_blank",
            gxe.ExpectColumnValuesToBeInSet(column="blank", value_set=[False], mostly=_share(settings.max_blank)),
            f"at most {100 * settings.max_blank:g} % of the images may be of one single colour",
            "remove it or raise validation.max_blank",
            lambda _: "one single colour",
            tolerated=settings.max_blank,
            refuses=True,
        ),
    ]


def _copies(settings: ValidationSettings) -> list[Named]:
    inside, across = "remove one of them", "remove one of them or set validation.allow_leakage"
    suite = [
        _twin("duplicate", "duplicates", "no image may be twice in a split", inside),
        _twin("near_duplicate", "near_duplicates", "no two images of a split may look the same", inside),
    ]
    if not settings.allow_leakage:
        suite += [
            _twin("leak", "leakage", "no image of val/ may be in train/ too", across),
            _twin("near_leak", "near_leakage", "no image of val/ may look the same as one in train/", across),
        ]
    return suite


def _twin(column: str, name: str, rule: str, advice: str) -> Named:
    how = "looks the same as" if column.startswith("near") else "the same image as"
    return Named(
        name,
        gxe.ExpectColumnValuesToBeNull(column=column),
        rule,
        advice,
        lambda row: f"{how} {unescape(row[column])}",
    )


def _against(now: ClassProfile, then: ClassProfile) -> Row:
    moved = [shift(now.brightness, then.brightness), shift(now.contrast, then.contrast)]
    return {"kept": now.usable / max(then.usable, 1), "shift": max(moved)}


def _share(tolerated: float) -> float:
    """The share of rows that must comply; 1 - 0.7 is to be 0.3, not 0.30000000000000004."""
    return round(1 - tolerated, 12)
