"""One row an image: what is there, before anything is believed about it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from flow_models.data.atomic import complete_file
from flow_models.data.errors import UnreadableError
from flow_models.data.images import MODES, eight_bit, open_image, pillow_silenced
from flow_models.data.parallel import ordered_map
from flow_models.data.sources import Entry, Source
from flow_models.errors import FlowModelsError

SPLITS = ("train", "val")
DTYPES = {
    "key": "str",
    "split": "str",
    "class": "str",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "bytes": "int64",
    "sha256": "str",
    "mean": "Float64",
    "std": "Float64",
    "error": "str",
}
_LITTER = {"thumbs.db", "desktop.ini"}


def build_manifest(source: Source, *, progress: bool) -> pd.DataFrame:
    """Read every image once and say what it is.

    Below ``train/<class>/`` and ``val/<class>/``, at any depth, everything is taken for an image,
    whatever its name: one that is none becomes a row with its reason, not a silent gap. Passed over
    are hidden files and folders (``.DS_Store``, ``._cat.jpg``), ``Thumbs.db``, ``desktop.ini``, and
    whatever lies outside ``train/`` and ``val/``.

    Args:
        source: where the images are.
        progress: show a bar, if on a terminal.

    Returns:
        Rows sorted by key, columns as in ``DTYPES``: ``mean`` and ``std`` over all 8-bit pixel values
        and channels; ``error`` the reason why the file cannot be used, else null. ``attrs["source"]``
        is the source's address. No pixels are kept.

    Raises:
        FlowModelsError: if the source cannot be read, has no ``train/``, has an empty class
            folder, or a file beside the class folders.
    """
    entries = list_images(source)
    with pillow_silenced():
        measured = ordered_map(
            partial(_measure, source), entries, threads=source.threads, title="reading", progress=progress
        )
        rows = list(measured)
    manifest = pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)
    manifest.attrs["source"] = source.uri
    return manifest


def list_images(source: Source) -> list[Entry]:
    """The images of ``train/`` and ``val/``, sorted by key; the rules are those of :func:`build_manifest`."""
    entries = [entry for split in SPLITS for entry in source.list(f"{split}/")]
    files = (entry for entry in entries if not entry.key.endswith("/") and not _passed_over(entry.key))
    images = sorted(files, key=lambda entry: entry.key)
    for image in images:
        if _class_folder(image.key) is None:
            raise FlowModelsError(f"{source.uri}/{image.key}: in no class folder; move it to one, or out of the data")
    folders = {found for entry in entries if (found := _class_folder(entry.key)) and not _passed_over(found)}
    for folder in sorted(folders - {_class_folder(image.key) for image in images}):
        raise FlowModelsError(f"{source.uri}/{folder}/: an empty class folder; put images there or remove it")
    if not any(image.key.startswith("train/") for image in images):
        raise FlowModelsError(f"{source.uri}: no images in train/; lay them out as train/<class>/… and val/<class>/…")
    return images


def write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    """Write it as parquet."""
    with complete_file(path) as unfinished:
        manifest.to_parquet(unfinished, index=False)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read what :func:`write_manifest` wrote.

    Raises:
        FlowModelsError: if it is missing or damaged.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; run `flow-models data validate` first") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FlowModelsError(f"{path}: damaged ({reason}); run `flow-models data validate` again") from None


def manifest_digest(manifest: pd.DataFrame) -> str:
    """SHA-256 over the sorted keys and contents: the same images, wherever they are kept, have the same one."""
    digest = hashlib.sha256()
    for key, content in sorted(zip(manifest["key"], manifest["sha256"], strict=True)):
        digest.update(f"{key}\0{content}\n".encode())
    return digest.hexdigest()


def _passed_over(key: str) -> bool:
    parts = PurePosixPath(key).parts
    return any(part.startswith(".") for part in parts) or parts[-1].lower() in _LITTER


def _class_folder(key: str) -> str | None:
    """``train/cat`` of ``train/cat/`` and of ``train/cat/a/b.jpg``; None for what is in no class."""
    split, class_, *rest = [*key.split("/", 2), ""]
    return f"{split}/{class_}" if class_ and len(rest) > 1 else None


def _measure(source: Source, entry: Entry) -> dict[str, Any]:
    """One row of the manifest."""
    split, class_, _ = entry.key.split("/", 2)
    row: dict[str, Any] = {"key": entry.key, "split": split, "class": class_, "bytes": entry.bytes, "error": None}
    try:
        content = source.read(entry.key)
        row |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        row |= _look(content)
    except UnreadableError as error:
        row["error"] = str(error)
    return row


def _look(content: bytes) -> dict[str, Any]:
    image = open_image(content)
    found: dict[str, Any] = {"width": image.width, "height": image.height, "mode": image.mode}
    if image.mode in MODES:
        # From the histogram: exact, and an image of 4096 x 4096 needs no copy in float64.
        counts = list(_by_value(eight_bit(image).histogram()))
        total = sum(counts)
        mean = sum(value * count for value, count in enumerate(counts)) / total
        variance = sum((value - mean) ** 2 * count for value, count in enumerate(counts)) / total
        found |= {"mean": mean, "std": math.sqrt(variance)}
    return found


def _by_value(histogram: list[int]) -> Iterator[int]:
    """Counts per value 0 to 255, over the channels that Pillow lists one after the other."""
    for value in range(256):
        yield sum(histogram[value::256])
