"""The scoring flow, with the champion of a real training."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.prefect_server import Prefect
from tests.integration.small_clone import artifacts, run_flow
from tests.system.project import IMAGES, Project


def test_a_folder_is_scored_by_the_champion_and_the_most_outlying_are_shown(
    project: Project, prefect_server: Prefect, tmp_path: Path
) -> None:
    copy = project.copy(tmp_path / "copy", registry=True)
    with temporary_settings({PREFECT_API_URL: prefect_server.environment["PREFECT_API_URL"]}):
        client = get_client(sync_client=True)
    run = run_flow("scoring", copy.folder, prefect_server, client, "source='data/val', shown=5")
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    images = sum(count for name, count in IMAGES.items() if name.startswith("val/"))
    assert f"among {images} images, 0 unreadable" in str(run.state.message)
    scores = pd.read_parquet(copy.folder / f"reports/scores/{run.id}.parquet")
    assert len(scores) == images
    shown = json.loads(artifacts(client)["most-outlying"])
    assert [row["key"] for row in shown] == list(scores.sort_values("score", ascending=False, kind="stable")["key"][:5])
