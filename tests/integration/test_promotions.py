"""Many promote at once: a real MLflow server with several workers, over a real PostgreSQL."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient

from deploy.stack import processes
from deploy.stack.postgres import Postgres
from flow_models.errors import FlowModelsError
from flow_models.registry import history
from flow_models.registry.promotion import champion_and_place, promote, promote_after, rollback, status
from tests.integration.servers import free_port, running, skip_without_postgresql

TWENTY = range(2, 22)  # the versions; version 1 is champion


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an MLflow server over PostgreSQL; not in pytest's folder, where PostgreSQL's user may not go."""
    skip_without_postgresql()
    home, port = Path(tempfile.mkdtemp()), free_port()
    home.chmod(0o755)
    postgres = Postgres(home, free_port())
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"),
        *("--artifacts-destination", str(home / "artifacts"), "--allowed-hosts", f"127.0.0.1:{port}"),
    ]
    try:
        postgres.initialise()
        processes.spawn(postgres.service, home)
        processes.wait(postgres.service, home)
        postgres.create(["mlflow"])
        environment = {
            "MLFLOW_BACKEND_STORE_URI": postgres.url("mlflow", driver="postgresql+psycopg"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with running(command, log=home / "log", environment=environment, health=f"{address}/health"):
            yield address
    finally:
        processes.end("postgres", home)
        shutil.rmtree(home)


@pytest.fixture
def name(server: str, request: pytest.FixtureRequest) -> str:
    """A model with 21 versions that passed the gate, the first of which is champion."""
    client, name = MlflowClient(server), request.node.name
    model = client.create_logged_model(client.create_experiment(name))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model(name)
    for _ in range(21):
        client.create_model_version(name, source=model.model_uri, model_id=model.model_id, tags={"gate": "passed"})
    promote(client, name, by="Ada", version=1)
    return name


def at_once(server: str, work: Callable[[MlflowClient, int], object]) -> list[object]:
    """What twenty workers get who start together, each with a client of its own."""
    with ThreadPoolExecutor(len(TWENTY)) as pool:
        return list(pool.map(lambda version: work(MlflowClient(server), version), TWENTY))


def aliases(server: str, name: str) -> dict[str, int]:
    return {alias: each.number for alias, each in status(MlflowClient(server), name).items()}


def test_of_twenty_that_passed_beside_the_same_champion_one_wins(server: str, name: str) -> None:
    champion, place = champion_and_place(MlflowClient(server), name)
    assert champion is not None

    def work(client: MlflowClient, number: int) -> bool:
        version = champion.__class__(**{**vars(champion), "number": number})
        return promote_after(client, name, version, after=place)

    won = at_once(server, work)
    assert won.count(True) == 1
    assert aliases(server, name) == {"champion": TWENTY[won.index(True)], "previous": 1}
    assert len(history.read(MlflowClient(server), name)) == 21


def test_twenty_promotions_by_hand_make_a_true_history_and_twenty_rollbacks_go_back_once(
    server: str, name: str
) -> None:
    at_once(
        server, lambda client, number: promote(client, name, by=f"person {number}", version=number, reason="a trial")
    )
    changes = history.read(MlflowClient(server), name)
    assert sorted(change.version for change in changes) == list(range(1, 22))
    *_, before, last = (change.version for change in changes)
    assert aliases(server, name) == {"champion": last, "previous": before}
    assert status(MlflowClient(server), name)["champion"].tags["promoted.by"] == f"person {last}"

    def go_back(client: MlflowClient, number: int) -> bool:
        try:
            rollback(client, name, by=f"person {number}")
        except FlowModelsError:
            return False
        return True

    assert at_once(server, go_back).count(True) == 1
    assert aliases(server, name) == {"champion": before}
