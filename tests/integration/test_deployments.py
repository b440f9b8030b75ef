"""prefect.yaml and the work-pool templates of deploy/, on a real Prefect server."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import VariableCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Running

from tests.integration.prefect_server import Prefect
from tests.integration.s3_server import S3Server
from tests.integration.servers import running, wait_for
from tests.integration.small_clone import python

CLONE = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((CLONE / "deploy/work-pools").glob("*.json"))
# Its pool, its queue, how many run at a time, and its schedules.
DEPLOYMENTS = {
    "retraining/retraining": ("local", "default", 1, [("0 2 * * *", False)]),
    "training/training": ("local", "default", 1, []),
    "training/training-gpu": ("gpu", "gpu", None, []),
    "promotion/promotion": ("local", "default", 1, []),
    "scoring/scoring": ("local", "default", 4, []),
}
FLOW = """
import os
from pathlib import Path
from prefect import flow, runtime

@flow(name="training")
def training(*, force: bool = False) -> None:
    environment = [os.environ.get(name, "") for name in ("MLFLOW_TRACKING_URI", "AWS_SECRET_ACCESS_KEY")]
    Path(runtime.deployment.name).write_text(" ".join(environment))
"""
# With somebody else's numbers in the place of the champion's.
SCORING = """
import pandas as pd
from flows import scoring
def command(name, *arguments):
    scores = pd.DataFrame({"key": ["a.png"], "score": [1.0]})
    scores.to_parquet(arguments[arguments.index("--output") + 1])
    return {"images": 100, "alarms": 60, "alarms_p_value": 1e-9, "outliers": 50, "unreadable": 0}
scoring.command = command
scoring.scoring(source="s3://images/today", output="s3://scores/today/a.parquet")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """prefect.yaml and the flows, over a training that does next to nothing."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(CLONE / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "flows/training.py").write_text(FLOW)
    for name in ("prefect.yaml", "params.yaml", "dvc.yaml"):
        shutil.copy(CLONE / name, folder)
    return folder


@pytest.fixture(scope="module")
def client(prefect_server: Prefect) -> SyncPrefectClient:
    with temporary_settings({PREFECT_API_URL: prefect_server.environment["PREFECT_API_URL"]}):
        return get_client(sync_client=True)


@pytest.fixture(scope="module")
def deployed(prefect_server: Prefect, client: SyncPrefectClient, project: Path) -> Iterator[None]:
    for pool in ("local", "gpu"):
        create_pool(client, pool, TEMPLATES[0].with_stem("process"))
    done = prefect_server("deploy", "--all", folder=project)
    assert done.returncode == 0, done.stdout + done.stderr
    yield
    for name in DEPLOYMENTS:
        deployment = client.read_deployment_by_name(name).id
        for run in runs_of(client, deployment):
            client.delete_flow_run(run.id)
        client.delete_deployment(deployment)


def create_pool(client: SyncPrefectClient, name: str, template: Path) -> WorkPool:
    """What `prefect work-pool create --base-job-template … --overwrite` does."""
    content = json.loads(template.read_text())
    return client.create_work_pool(
        WorkPoolCreate(name=name, type=template.stem, base_job_template=content), overwrite=True
    )


def runs_of(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    return client.read_flow_runs(flow_run_filter=only)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_the_server_accepts_the_template_of_a_work_pool(client: SyncPrefectClient, template: Path) -> None:
    pool = create_pool(client, f"{template.stem}-template", template)
    assert pool.base_job_template == json.loads(template.read_text())


def test_the_server_refuses_a_template_with_a_variable_that_is_none(client: SyncPrefectClient, tmp_path: Path) -> None:
    broken = tmp_path / "process.json"
    broken.write_text(TEMPLATES[0].with_stem("process").read_text().replace("{{ env }}", "{{ environment }}"))
    with pytest.raises(PrefectHTTPStatusError, match="environment"):
        create_pool(client, "broken", broken)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_has_its_place_and_limit_and_runs_by_night_only_when_that_is_switched_on(
    deployed: None, client: SyncPrefectClient, name: str
) -> None:
    deployment = client.read_deployment_by_name(name)
    pool, queue, limit, schedules = DEPLOYMENTS[name]
    assert (deployment.work_pool_name, deployment.work_queue_name) == (pool, queue)
    found = deployment.global_concurrency_limit
    assert (found.limit if found else None) == limit
    assert [(schedule.schedule.cron, schedule.active) for schedule in deployment.schedules] == schedules


def test_the_form_of_a_retraining_explains_and_bounds_its_parameters(deployed: None, client: SyncPrefectClient) -> None:
    deployment = client.read_deployment_by_name("retraining/retraining")
    asked = deployment.parameter_openapi_schema["properties"]["least_share"]
    assert (asked["minimum"], asked["maximum"], asked["default"]) == (0, 1, 0.02)
    assert asked["description"].startswith("New, gone and changed images")
    applications = deployment.parameter_openapi_schema["properties"]["application"]
    assert applications["enum"] == ["image_anomaly", "image_classification"]
    for parameters in ({"least_share": 2}, {"application": "image_anomly"}):
        with pytest.raises(PrefectHTTPStatusError, match=next(iter(parameters))):
            client.create_flow_run_from_deployment(deployment.id, parameters=parameters)


def test_a_night_that_is_switched_on_makes_runs_ahead(
    deployed: None, client: SyncPrefectClient, prefect_server: Prefect
) -> None:
    name = "retraining/retraining"
    deployment = client.read_deployment_by_name(name)
    schedule = str(deployment.schedules[0].id)
    prefect_server("deployment", "schedule", "resume", name, schedule)
    wait_for(lambda: any(run.auto_scheduled for run in runs_of(client, deployment.id)), within=90)
    prefect_server("deployment", "schedule", "pause", name, schedule)


def test_news_of_new_data_starts_a_retraining(
    deployed: None, client: SyncPrefectClient, prefect_server: Prefect
) -> None:
    deployment = client.read_deployment_by_name("retraining/retraining").id
    before = len(runs_of(client, deployment))

    emitted = prefect_server("event", "emit", "flow-models.new-data", "--resource-id", "flow-models.data")

    assert emitted.returncode == 0, emitted.stderr
    wait_for(lambda: len(runs_of(client, deployment)) > before)


def test_a_scoring_with_more_alarms_than_promised_starts_one_too_and_leaves_its_table_in_a_bucket(
    deployed: None, client: SyncPrefectClient, prefect_server: Prefect, project: Path, s3: S3Server
) -> None:
    s3.client.create_bucket(Bucket="scores")
    deployment = client.read_deployment_by_name("retraining/retraining").id
    before = len(runs_of(client, deployment))

    python(SCORING, project, prefect_server)

    wait_for(lambda: len(runs_of(client, deployment)) > before)
    assert s3.client.head_object(Bucket="scores", Key="today/a.parquet")["ContentLength"]


def test_a_run_whose_heartbeat_stops_is_scheduled_again_and_one_that_ended_is_not(
    deployed: None, client: SyncPrefectClient
) -> None:
    content = yaml.safe_load((CLONE / "automations.yaml").read_text())["automations"][0]
    content["trigger"]["within"] = 10  # the least that Prefect allows
    automation = client.create_automation(AutomationCore.model_validate(content))
    deployment = client.read_deployment_by_name("training/training").id
    lost, ended = (client.create_flow_run_from_deployment(deployment) for _ in range(2))
    for run in (lost, ended):
        client.set_flow_run_state(run.id, Running(), force=True)
        send_heartbeat(client, run)
    wait_for(lambda: have_beaten(client) >= {str(lost.id), str(ended.id)})  # else the end may overtake the heartbeat
    client.set_flow_run_state(ended.id, Completed(), force=True)

    wait_for(lambda: client.read_flow_run(lost.id).state_name == "AwaitingRetry")

    assert client.read_flow_run(ended.id).state_name == "Completed"
    client.delete_automation(automation)


def have_beaten(client: SyncPrefectClient) -> set[str]:
    """The flow runs whose heartbeats the server has taken in."""
    heartbeats = EventFilter(event=EventNameFilter(name=["prefect.flow-run.heartbeat"]))
    events = client.read_events(filter=heartbeats, limit=50).events  # the most that it gives at once
    return {event.resource.id.removeprefix("prefect.flow-run.") for event in events}


def send_heartbeat(client: SyncPrefectClient, run: FlowRun) -> None:
    """As Prefect's engine does."""
    event = Event(
        event="prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"},
        related=[
            {"prefect.resource.id": f"prefect.deployment.{run.deployment_id}", "prefect.resource.role": "deployment"},
            {"prefect.resource.id": "prefect.tag.flow-models", "prefect.resource.role": "tag"},
        ],
    )
    client._client.post("/events", json=[event.model_dump(mode="json")])


def keep_environment(client: SyncPrefectClient) -> None:
    """Let the pool `gpu` take an address and a secret from the server, as docs/deploy.md says."""
    client.create_variable(VariableCreate(name="mlflow_tracking_uri", value="http://mlflow:5000"))
    Secret(value="hush").save("s3-secret-key")
    template = json.loads(TEMPLATES[0].with_stem("process").read_text())
    template["variables"]["properties"]["env"]["default"] = {
        "MLFLOW_TRACKING_URI": "{{ prefect.variables.mlflow_tracking_uri }}",
        "AWS_SECRET_ACCESS_KEY": "{{ prefect.blocks.secret.s3-secret-key }}",
    }
    client.update_work_pool("gpu", WorkPoolUpdate(base_job_template=template))


def test_a_run_on_the_gpu_pool_finds_the_folder_that_its_worker_has_and_the_environment_that_the_server_keeps(
    deployed: None, client: SyncPrefectClient, prefect_server: Prefect, project: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone-on-the-gpu-machine"
    shutil.copytree(project, clone)
    client.create_variable(VariableCreate(name="gpu_folder", value=str(clone)))
    with temporary_settings({PREFECT_API_URL: prefect_server.environment["PREFECT_API_URL"]}):
        keep_environment(client)
    run = client.create_flow_run_from_deployment(client.read_deployment_by_name("training/training-gpu").id)

    def has_ended() -> bool:
        return client.read_flow_run(run.id).state.is_final()

    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--limit", "1", "--run-once"]
    with running(command, log=tmp_path / "worker", environment=prefect_server.environment):
        wait_for(has_ended)

    state = client.read_flow_run(run.id).state
    assert state.is_completed(), state.message
    assert (clone / "training-gpu").read_text() == "http://mlflow:5000 hush"
    assert not (project / "training-gpu").exists()
