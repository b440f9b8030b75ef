"""What came, went and changed from one manifest to the next, by class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from flow_models.data.manifest import open_manifest


@dataclass
class Change:
    """Files of one class folder."""

    added: int = 0
    removed: int = 0
    changed: int = 0


def changes(before: Path, after: Path) -> dict[str, Change]:
    """Compare two manifests by key and content.

    Returns:
        By class folder, such as ``train/cat``, those in which something is different, sorted. All
        images are added if there is no manifest ``before``.

    Raises:
        FlowModelsError: if a manifest cannot be read.
    """
    old = _contents(before) if before.exists() else _contents(after)[:0]
    both = old.merge(_contents(after), on="key", how="outer", suffixes=("_old", "_new"), indicator="side")
    kind = both["side"].map({"left_only": "removed", "right_only": "added", "both": "same"}).astype("str")
    kind = kind.mask((kind == "same") & (both["sha256_old"] != both["sha256_new"]), "changed")
    folder = both["key"].str.extract("^([^/]*/[^/]*)/")[0]
    found: dict[str, Change] = {}
    for name, own in kind[kind != "same"].groupby(folder):
        found[str(name)] = Change(**{str(what): int(count) for what, count in own.value_counts().items()})
    return dict(sorted(found.items()))


def _contents(path: Path) -> pd.DataFrame:
    with open_manifest(path) as file:
        return file.read(["key", "sha256"]).to_pandas().fillna({"sha256": ""})
