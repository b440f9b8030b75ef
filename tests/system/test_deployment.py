"""The whole chain as a deployment: a real Prefect server, a worker, the real stages."""

from __future__ import annotations

import json

from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.integration.prefect_server import Prefect
from tests.system.project import Project


def test_a_deployment_run_ends_completed_and_a_new_version_stands_in_mlflow(
    copy: Project, prefect_worker: Prefect
) -> None:
    before = copy.json("reports/image_anomaly/registered.json")
    copy.set({"register": {"gate": {"bits_per_dim": {"max": 29.0}}}})
    deployed = prefect_worker("deploy", "--all", folder=copy.folder)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr

    prefect_worker("deployment", "run", "training/training", "--watch", "--watch-interval", "1")

    with temporary_settings({PREFECT_API_URL: prefect_worker.environment["PREFECT_API_URL"]}):
        run = get_client(sync_client=True).read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    registered = copy.json("reports/image_anomaly/registered.json")
    assert registered["run_id"] != before["run_id"]
    status = json.loads(copy.run("flow-models", "status", "--json").text)
    assert status["champion"]["version"] == registered["version"]
    assert copy.outdated() == set()
