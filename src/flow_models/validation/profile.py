"""What a set of images is like on the whole: to propose bounds, and to compare the next set with."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flow_models.data.atomic import complete_file


@dataclass
class Moments:
    """Running mean and spread of one number."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: Any) -> None:
        """Take more values into account; missing ones are none."""
        known = np.asarray(values.dropna(), float)
        self.count += len(known)
        self.total += float(known.sum())
        self.squares += float((known**2).sum())

    @property
    def mean(self) -> float:
        """Of all values."""
        return self.total / self.count if self.count else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation between the values."""
        return math.sqrt(max(self.squares / self.count - self.mean**2, 0.0)) if self.count else math.nan


@dataclass
class ClassProfile:
    """One class folder.

    Attributes:
        images: files.
        usable: those that validation does not refuse.
        brightness: of the images' mean pixel values.
        contrast: of the standard deviations of their pixel values.
    """

    images: int = 0
    usable: int = 0
    brightness: Moments = field(default_factory=Moments)
    contrast: Moments = field(default_factory=Moments)


@dataclass
class Profile:
    """A whole set; classes by ``train/cat``. The sides and shares are those of all files, refused ones too."""

    source: str
    images: int = 0
    unreadable: int = 0
    blank: int = 0
    shortest: int | None = None
    longest: int = 0
    aspect: float = 1.0
    bytes: int = 0
    classes: dict[str, ClassProfile] = field(default_factory=dict)

    def add(self, table: pd.DataFrame, refused: set[str]) -> None:
        """Take a batch of :func:`~flow_models.validation.expectations.table_of` into account."""
        self.images += len(table)
        self.unreadable += int(table["error"].notna().sum())
        self.blank += int(table["blank"].sum())
        short, long, aspect = (table[name].dropna() for name in ("short_side", "long_side", "aspect"))
        if len(short):
            self.shortest = int(min(short.min(), short.min() if self.shortest is None else self.shortest))
            self.longest = max(self.longest, int(long.max()))
            self.aspect = max(self.aspect, float(aspect.max()))
        self.bytes = max(self.bytes, int(table["bytes"].max()))
        usable = ~table["key"].isin(refused)
        for (split, name), rows in table.groupby(["split", "class"], sort=True):
            own = self.classes.setdefault(f"{split}/{name}", ClassProfile())
            own.images += len(rows)
            kept = rows[usable[rows.index]]
            own.usable += len(kept)
            own.brightness.add(kept["mean"])
            own.contrast.add(kept["std"])


def propose(profile: Profile) -> dict[str, Any]:
    """The ``validation:`` section under which this set passes with some room, and a much worse one does not."""
    smallest = min((each.usable for each in profile.classes.values()), default=1)
    return {
        "min_images_per_class": max(smallest // 2, 1),
        "min_side": max(profile.shortest or 1, 1),
        "max_side": _round_up(1.25 * profile.longest),
        "max_aspect": float(_round_up(12.5 * profile.aspect) / 10),
        "max_bytes": _round_up(2 * profile.bytes),
        "max_unreadable": _tolerated(profile.unreadable, profile.images),
        "max_blank": _tolerated(profile.blank, profile.images),
    }


def shift(new: Moments, accepted: Moments) -> float:
    """How far a mean has moved, in the accepted set's spread between images (at least one grey level)."""
    return abs(new.mean - accepted.mean) / max(accepted.spread, 1.0)


def write_profile(profile: Profile, path: Path) -> None:
    """As JSON."""
    with complete_file(path) as unfinished:
        unfinished.write_text(json.dumps(asdict(profile), indent=1) + "\n", encoding="utf-8")


def read_profile(path: Path) -> Profile | None:
    """What :func:`write_profile` wrote; None if there is none, or one of another version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        classes = {
            name: ClassProfile(own["images"], own["usable"], Moments(**own["brightness"]), Moments(**own["contrast"]))
            for name, own in content.pop("classes").items()
        }
        return Profile(**content, classes=classes)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _round_up(number: float) -> int:
    """To two significant digits."""
    unit = 10 ** max(math.floor(math.log10(max(number, 1))) - 1, 0)
    return math.ceil(number / unit) * unit


def _tolerated(found: int, images: int) -> float:
    """None stays none; else twice what was found, in steps of a thousandth."""
    return min(math.ceil(2000 * found / max(images, 1)) / 1000, 0.999)
