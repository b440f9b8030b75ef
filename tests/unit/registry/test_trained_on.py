from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from flow_models.data.manifest import manifest_digest, read_manifest, write_manifest
from flow_models.data.sources import open_source
from flow_models.registry.promotion import Version
from flow_models.registry.provenance import Provenance
from flow_models.registry.runs import log_run
from flow_models.registry.trained_on import trained_on
from flow_models.settings import MANIFEST, Settings
from tests.unit.data.folders import write_images

KEPT = Path("references")


def registered(client: MlflowClient, manifest: str) -> Version:
    made_from = Provenance(source="data", commit="abc", lock="1", data="2", manifest=manifest, shards="4")
    run = log_run(client, Settings(), made_from)
    return Version(number=1, run_id=run, application="image_anomaly", tags={}, metrics={})


def test_a_version_keeps_the_manifest_of_its_images(client: MlflowClient, project: Path) -> None:
    write_images(project / "data")
    written = write_manifest(open_source("data"), MANIFEST, journals=project / "journals")
    version = registered(client, written.digest)
    MANIFEST.unlink()
    for _ in range(2):  # fetched, then kept
        found = trained_on(client, version, kept=KEPT)
        assert found is not None
        assert manifest_digest(found) == written.digest
        assert found.attrs["source"] == "data"
    assert [path.name for path in KEPT.iterdir()] == [version.run_id]


def test_a_version_of_other_data_than_the_manifest_here_has_none(client: MlflowClient, project: Path) -> None:
    write_images(project / "data")
    write_manifest(open_source("data"), MANIFEST, journals=project / "journals")
    assert trained_on(client, registered(client, "of vectors"), kept=KEPT) is None


def test_a_manifest_of_another_version_of_this_program_is_none(client: MlflowClient, project: Path) -> None:
    write_images(project / "data")
    written = write_manifest(open_source("data"), MANIFEST, journals=project / "journals")
    version = registered(client, written.digest)
    trained_on(client, version, kept=KEPT)
    (kept,) = KEPT.rglob("*.parquet")
    read_manifest(kept).drop(columns="phash").to_parquet(kept)
    assert trained_on(client, version, kept=KEPT) is None
