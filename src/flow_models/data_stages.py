"""The stages before training: from a source of images to shards; and what else is asked of a source.

Each reads what the one before left, and leaves files for the next; ``dvc.yaml`` says which.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flow_models.errors import FlowModelsError
from flow_models.settings import (
    ACCEPTED,
    DATA_CACHE,
    MANIFEST,
    SHARDS,
    VALIDATION_REPORT,
    Settings,
    ValidationSettings,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from flow_models.data.kept_pixels import KeptPixels
    from flow_models.data.manifest import Summary
    from flow_models.data.s3 import S3Source
    from flow_models.data.shards import Index
    from flow_models.data.sources import Source
    from flow_models.validation.checkpoint import Validation

PACKED = DATA_CACHE / "packed"  # the shards made last: DVC empties its own folder before a stage runs
NEWEST = DATA_CACHE / "newest.parquet"


@dataclass(frozen=True)
class Validated:
    """What ``validate`` found."""

    images: int
    digest: str
    read: int
    warnings: list[str]


@dataclass(frozen=True)
class Simulated:
    """What ``simulate`` drew."""

    rows: int
    digest: str


def demo(folder: Path) -> int:
    """Write the embedded data; see ``data.demo``."""
    from flow_models.data.demo import write_demo

    return write_demo(folder)


def manifest(settings: Settings) -> Validated:
    """List, read and describe every image of the source, in ``prepared/manifest.parquet``.

    Raises:
        FlowModelsError: if the source cannot be read or is not laid out as train/ and val/.
    """
    written = _describe(settings, MANIFEST)
    return Validated(written.images, written.digest, read=written.read, warnings=[])


def validate(settings: Settings) -> Validated:
    """Describe the images and check the table; Data Docs in ``reports/validation``.

    A set that passes is the one that the next is compared with.

    Raises:
        FlowModelsError: if an expectation fails that is not in ``validation.warn_only``.
    """
    described = manifest(settings)
    # Great Expectations takes seconds to import: not before the source is known to be readable.
    from flow_models.validation.images import validate as check
    from flow_models.validation.profile import read_profile

    before = read_profile(ACCEPTED)
    if before is not None and before.source != settings.data.source.rstrip("/"):
        before = None  # other data: nothing to compare
    _stop_on_errors(outcome := check(MANIFEST, settings.validation, docs=VALIDATION_REPORT, accepted=before))
    accept(settings)
    return Validated(described.images, described.digest, described.read, outcome.warnings)


def accept(settings: Settings) -> dict[str, Any]:  # noqa: ARG001 - every stage takes the settings
    """Let the set that was validated last, whatever came of it, be the one that the next is compared with.

    Raises:
        FlowModelsError: if none was validated.
    """
    from flow_models.validation.images import PROFILE
    from flow_models.validation.profile import read_profile, write_profile

    profile = read_profile(VALIDATION_REPORT / PROFILE)
    if profile is None:
        raise FlowModelsError(f"{VALIDATION_REPORT / PROFILE}: no such file; run `flow-models data validate` first")
    write_profile(profile, ACCEPTED)
    return {"source": profile.source, "images": profile.images, "classes": sorted(profile.classes)}


def propose(settings: Settings, source: str | None = None) -> dict[str, Any]:
    """Bounds for the ``validation:`` section under which a set passes that is known to be good.

    Args:
        settings: whose ``data`` section says how to read it.
        source: another one than the settings'.

    Raises:
        FlowModelsError: if the source cannot be read.
    """
    from flow_models.validation import profile
    from flow_models.validation.images import PROFILE
    from flow_models.validation.images import validate as check

    if source is not None:
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"source": source})})
    with TemporaryDirectory() as folder:
        described, docs = Path(folder) / "manifest.parquet", Path(folder) / "docs"
        _describe(settings, described)
        check(described, ValidationSettings(), docs=docs)
        seen = profile.read_profile(docs / PROFILE)
    assert seen is not None  # noqa: S101 - check has just written it
    return profile.propose(seen)


def update(settings: Settings) -> dict[str, Any]:
    """Take the newest images and say what is different from those of the last manifest, by class.

    A source that DVC imported (``dvc import-url``) is brought to its newest version first. The pipeline's
    own files stay as they are: ``dvc repro`` takes it from there.

    Raises:
        FlowModelsError: if the source cannot be read, or DVC cannot update it.
    """
    from flow_models.data.changes import changes
    from flow_models.data.imported import update_import

    imported = update_import(Path(settings.data.source))
    written = describe_newest(settings)
    different = {name: asdict(change) for name, change in changes(MANIFEST, NEWEST).items()}
    return {
        "images": written.images,
        "digest": written.digest,
        "imported": imported,
        "different": different or "nothing",
    }


def describe_newest(settings: Settings) -> Summary:
    """List, read and describe every image of the source beside the pipeline, in ``.cache/data/newest.parquet``.

    Raises:
        FlowModelsError: if the source cannot be read or is not laid out as train/ and val/.
    """
    return _describe(settings, NEWEST)


def read_images(settings: Settings, rows: pd.DataFrame, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Images of a manifest of the source, at a network's size.

    Args:
        settings: whose ``data`` section says where they are.
        rows: of the manifest, none with an ``error``.
        shape: height, width, channels.

    Returns:
        ``(n, height, width, channels)``, in the order of the rows.

    Raises:
        FlowModelsError: if a file is not what its row says.
    """
    import numpy as np

    from flow_models.data.images import pillow_silenced
    from flow_models.data.parallel import ordered_map
    from flow_models.data.pixels import pixels

    source = _source(settings)
    kept = _kept(settings, source, shape)
    if kept is not None:
        kept.look()

    def read(row: Any) -> NDArray[np.uint8]:
        return pixels(source, kept, shape, **row)

    known = rows[["key", "sha256", "version"]].astype(object)
    wanted = known.where(known.notna(), None).to_dict("records")
    images = np.empty((len(wanted), *shape), np.uint8)
    with pillow_silenced():
        for number, image in enumerate(ordered_map(read, wanted, threads=source.threads, title="reading")):
            images[number] = image
    return images


def prepare(settings: Settings) -> Index:
    """Read the images at the network's size into shards, in ``prepared/shards`` or where ``data.shards`` says.

    Raises:
        FlowModelsError: if an image changed since it was validated, or an inlier class is missing.
    """
    from flow_models.data.atomic import complete_folder
    from flow_models.data.cluster import open_workers
    from flow_models.data.manifest import read_manifest
    from flow_models.data.shards import link, write_shards
    from flow_models.validation.quarantine import read_quarantine

    source = _source(settings)
    with open_workers(settings.data.cluster) as workers:
        index = write_shards(
            read_manifest(MANIFEST),
            source,
            PACKED,
            shape=settings.data.shape,
            holdout=settings.data.holdout,
            seed=settings.seed,
            inliers=settings.data.inliers,
            megabytes=settings.data.shard_megabytes,
            store=_store(settings),
            kept=_kept(settings, source, settings.data.shape),
            left_out=read_quarantine(VALIDATION_REPORT),
            workers=workers,
        )
    with complete_folder(SHARDS) as unfinished:
        shutil.copytree(PACKED, unfinished, copy_function=link, dirs_exist_ok=True)
    return index


def simulate(settings: Settings) -> Simulated:
    """Draw the table of an application without images, and check it; Data Docs in ``reports/<application>/validation``.

    Raises:
        FlowModelsError: if the table is not what the source promises.
    """
    from flow_models.applications import find_application
    from flow_models.applications.vectors import VectorApplication
    from flow_models.data.tables import write_table
    from flow_models.validation.tables import validate as check

    application = find_application(settings.application)
    if not isinstance(application, VectorApplication):
        raise FlowModelsError(f"{settings.application}: learns from images; `flow-models data shard` prepares those")
    table = application.draw(settings)
    _stop_on_errors(check(table, application.draw(settings), docs=settings.report_folder / "validation"))
    write_table(table, settings.prepared_folder)
    return Simulated(len(table.frame), table.digest)


def _describe(settings: Settings, path: Path) -> Summary:
    from flow_models.data.cluster import open_workers
    from flow_models.data.manifest import write_manifest

    source, journals = _source(settings), DATA_CACHE / "journals"
    with open_workers(settings.data.cluster) as workers:
        return write_manifest(
            source,
            path,
            journals=journals,
            kept=_kept(settings, source, settings.data.shape),
            workers=workers,
            progress=True,
        )


def _source(settings: Settings) -> Source:
    from flow_models.data.sources import open_source

    s3 = settings.data.s3
    return open_source(settings.data.source, connections=s3.connections, requester_pays=s3.requester_pays)


def _store(settings: Settings) -> S3Source | None:
    """Where the shards lie, if that is in S3."""
    from flow_models.data.s3 import S3Source

    place, s3 = settings.data.shards, settings.data.s3
    return S3Source(place, connections=s3.connections, requester_pays=s3.requester_pays) if place else None


def _kept(settings: Settings, source: Source, shape: tuple[int, int, int]) -> KeptPixels | None:
    """Where the pixels of what was downloaded are kept; None for files that are local anyway."""
    from flow_models.data.cache import Cache
    from flow_models.data.kept_pixels import KeptPixels

    limit = settings.data.cache_megabytes * 2**20
    return KeptPixels(Cache(DATA_CACHE, limit=limit), shape) if source.remote and limit else None


def _stop_on_errors(outcome: Validation) -> None:
    if not outcome.passed:
        first, *others = outcome.errors
        more = f" (and {len(others)} more, in {VALIDATION_REPORT / 'index.html'})" if others else ""
        raise FlowModelsError(f"{first}{more}")
