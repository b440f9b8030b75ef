"""The images that a version was trained on: the manifest that its registration left with the run."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient

from flow_models.data.atomic import complete_folder
from flow_models.data.manifest import read_manifest
from flow_models.errors import FlowModelsError
from flow_models.registry.promotion import Version
from flow_models.registry.runs import DATA
from flow_models.registry.tracking import explained
from flow_models.settings import DATA_CACHE, MANIFEST

REFERENCES = DATA_CACHE / "references"


def trained_on(client: MlflowClient, version: Version, *, kept: Path) -> pd.DataFrame | None:
    """The manifest of a version, fetched once.

    Args:
        client: of the store.
        version: of an application with images.
        kept: folder in which fetched manifests stay, each by its run; may be deleted at any time.

    Returns:
        None if the run has none, or one whose columns are of another version of this program.

    Raises:
        FlowModelsError: if MLflow refuses or does not answer.
    """
    folder = kept / version.run_id
    if not folder.is_dir():
        with explained(f"look up the data of version {version.number}"):
            present = {each.path for each in client.list_artifacts(version.run_id, DATA)}
            if f"{DATA}/{MANIFEST.name}" not in present:
                return None
            with complete_folder(folder) as unfinished:
                mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=DATA, dst_path=str(unfinished))
    try:
        return read_manifest(folder / DATA / MANIFEST.name)
    except FlowModelsError:
        return None
