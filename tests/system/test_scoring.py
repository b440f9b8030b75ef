"""The scoring flow, with the champion of a real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.conftest import Prefect
from tests.system.project import IMAGES, Project

RUN = "from flows.scoring import scoring; scoring(source='data/val', shown=5)"


def test_a_folder_is_scored_by_the_champion_and_the_most_outlying_are_shown(
    project: Project, prefect_server: Prefect, tmp_path: Path
) -> None:
    copy = project.copy(tmp_path / "copy", registry=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=copy.folder,
        env={**environment, **prefect_server.environment},
        capture_output=True,
        timeout=300,
        check=False,
    )
    with temporary_settings({PREFECT_API_URL: prefect_server.environment["PREFECT_API_URL"]}):
        client = get_client(sync_client=True)
    run = next(
        run
        for run in client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=5)
        if run.name.startswith("scoring ")
    )
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    images = sum(count for name, count in IMAGES.items() if name.startswith("val/"))
    assert f"among {images} images, 0 unreadable" in str(run.state.message)
    scores = pd.read_parquet(copy.folder / "reports/scores/scores.parquet")
    assert len(scores) == images
    shown = next(json.loads(each.data) for each in client.read_latest_artifacts() if each.key == "most-outlying")
    assert [row["key"] for row in shown] == list(scores.sort_values("score", ascending=False, kind="stable")["key"][:5])
