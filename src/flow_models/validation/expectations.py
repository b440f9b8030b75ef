"""The expectations on a manifest of images, each under the name that ``warn_only`` knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import great_expectations.expectations as gxe
import pandas as pd

from flow_models.data.images import MODES
from flow_models.data.manifest import SPLITS
from flow_models.settings import ValidationSettings

Row = dict[str, Any]


@dataclass(frozen=True)
class Named:
    """An expectation, and how a broken one is told.

    Attributes:
        name: in ``warn_only`` and in the Data Docs.
        expectation: Great Expectations' own.
        rule: what it asks.
        advice: what to do if it is broken.
        finding: what is wrong with one row, for an expectation on rows; None for one on the table.
        per_class: whether a row stands for its class folder.
    """

    name: str
    expectation: gxe.Expectation
    rule: str
    advice: str
    finding: Callable[[Row], str] | None = None
    per_class: bool = False


def table_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest with the columns that expectations need beside its own.

    - ``short_side``, ``long_side``: in pixels; null if unreadable.
    - ``error``: as HTML.
    - ``blank``: one single colour; null if unreadable.
    - ``class_images``: usable images of the row's class folder; on the folder's first row only, else null.
    - ``train_twin``: for a row of ``val``, a key of ``train`` with the same content, as HTML, else null.
    """
    readable = manifest["error"].isna()
    folder = [manifest["split"], manifest["class"]]
    first = ~manifest.duplicated(["split", "class"])
    train = manifest[(manifest["split"] == "train") & readable]
    twins = dict(zip(train["sha256"], train["key"], strict=True))
    return manifest.assign(
        short_side=manifest[["width", "height"]].min(axis=1),
        long_side=manifest[["width", "height"]].max(axis=1),
        blank=(manifest["std"] == 0).astype("boolean"),
        class_images=readable.groupby(folder).transform("sum").astype("Int64").where(first),
        # The Data Docs show these as they stand, and they quote what strangers' files contain.
        error=manifest["error"].map(escape, na_action="ignore"),
        train_twin=manifest["sha256"].map(twins).where(manifest["split"] == "val").map(escape, na_action="ignore"),
    )


def expectations(settings: ValidationSettings) -> list[Named]:
    """The suite that these settings ask for."""
    suite = [
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
            "max_unreadable",
            gxe.ExpectColumnValuesToBeNull(column="error", mostly=_share(settings.max_unreadable)),
            f"at most {100 * settings.max_unreadable:g} % of the files may be unreadable",
            "repair or remove them",
            lambda row: unescape(row["error"]),
        ),
        Named(
            "modes",
            gxe.ExpectColumnValuesToBeInSet(column="mode", value_set=list(MODES)),
            "pixels must be of 8 or 16 bits, whose range is known",
            "convert it",
            lambda row: f"pixels of mode {row['mode']}",
        ),
        Named(
            "min_side",
            gxe.ExpectColumnValuesToBeBetween(column="short_side", min_value=settings.min_side),
            f"the shorter side must have at least {settings.min_side} pixels",
            "remove it or lower validation.min_side",
            lambda row: f"shorter side of {row['short_side']:.0f}",
        ),
        Named(
            "max_side",
            gxe.ExpectColumnValuesToBeBetween(column="long_side", max_value=settings.max_side),
            f"the longer side must have at most {settings.max_side} pixels",
            "shrink it or raise validation.max_side",
            lambda row: f"longer side of {row['long_side']:.0f}",
        ),
        Named(
            "max_bytes",
            gxe.ExpectColumnValuesToBeBetween(column="bytes", max_value=settings.max_bytes),
            f"a file must have at most {settings.max_bytes} bytes",
            "shrink it or raise validation.max_bytes",
            lambda row: f"{row['bytes']:.0f} bytes",
        ),
        Named(
            "max_blank",
            gxe.ExpectColumnValuesToBeInSet(column="blank", value_set=[False], mostly=_share(settings.max_blank)),
            f"at most {100 * settings.max_blank:g} % of the images may be of one single colour",
            "remove it or raise validation.max_blank",
            lambda _: "one single colour",
        ),
        Named(
            "min_images_per_class",
            gxe.ExpectColumnValuesToBeBetween(column="class_images", min_value=settings.min_images_per_class),
            f"every class must have at least {settings.min_images_per_class} usable images",
            "add some, remove the folder or lower validation.min_images_per_class",
            lambda row: f"{row['class_images']:.0f} usable",
            per_class=True,
        ),
    ]
    if not settings.allow_leakage:
        suite.append(
            Named(
                "leakage",
                gxe.ExpectColumnValuesToBeNull(column="train_twin"),
                "no image of val/ may be in train/ too",
                "remove one of them or set validation.allow_leakage",
                lambda row: f"the same image as {unescape(row['train_twin'])}",
            )
        )
    return suite


def _share(tolerated: float) -> float:
    """The share of rows that must comply; 1 - 0.7 is to be 0.3, not 0.30000000000000004."""
    return round(1 - tolerated, 12)
