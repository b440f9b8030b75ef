"""Where MLflow keeps what was learned: a server, or sqlite and a folder inside the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

from flow_models.errors import FlowModelsError, UnavailableError

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
CANNOT_NOW = {"BAD_REQUEST", "TEMPORARILY_UNAVAILABLE"}  # what MLflow answers when its database is away or has no time


def connect() -> MlflowClient:
    """A client of the server in ``MLFLOW_TRACKING_URI``, or else of ``mlflow.db`` in the current folder.

    MLflow's own functions (``mlflow.pyfunc.load_model``) talk to the same place afterwards.

    Raises:
        FlowModelsError: if the address is of no kind that MLflow knows.
    """
    if not mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(f"sqlite:///{DATABASE.resolve()}")
    with explained("connect to MLflow"):
        return MlflowClient()


def connect_to_existing() -> MlflowClient:
    """As ``connect``, but what was never registered is not looked for in a database made for the purpose.

    Raises:
        FlowModelsError: if no server is named and there is no ``mlflow.db`` here.
    """
    if not exists():
        raise FlowModelsError(
            f"{Path.cwd()}: no {DATABASE} here; run where the model was registered, or set MLFLOW_TRACKING_URI"
        )
    return connect()


def exists() -> bool:
    """Whether a server is named, or something was registered here before."""
    return bool(mlflow.is_tracking_uri_set() or DATABASE.is_file())


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of the experiment called ``name``, made if there is none yet."""
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    # A server knows where its artifacts go; beside an sqlite file MLflow would take the current folder.
    is_local = client.tracking_uri.startswith("sqlite:")
    return str(client.create_experiment(name, artifact_location=ARTIFACTS.resolve().as_uri() if is_local else None))


def has_version(client: MlflowClient, run_id: str) -> bool:
    """Whether a version of any model was made of a run."""
    return bool(client.search_model_versions(f"run_id='{run_id}'", max_results=1))


def in_run(run_id: str) -> AbstractContextManager[Any]:
    """Inside it MLflow logs to this run; one that is active already stays so."""
    active = mlflow.active_run()
    return nullcontext() if active is not None and active.info.run_id == run_id else mlflow.start_run(run_id=run_id)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn MLflow's refusals inside the block into one line.

    Raises:
        FlowModelsError: ``what`` was refused, with MLflow's reason and the store that gave it.
        UnavailableError: the store did not answer, or cannot at this moment.
    """
    try:
        yield
    except MlflowException as error:
        store, said = mlflow.get_tracking_uri(), " ".join(str(error).split())
        if isinstance(error.__context__, OSError):  # what lies under every failure of `requests`
            raise UnavailableError(
                f"{what}: no answer from {store}; start the server or correct MLFLOW_TRACKING_URI"
            ) from error
        if error.error_code in CANNOT_NOW:
            raise UnavailableError(f"{what}: {said} (asked {store}); try again, or look at its log") from error
        raise FlowModelsError(f"{what}: {said} (asked {store})") from error
    except RequestException as error:  # artifacts are sent without MLflow's own exceptions
        is_refusal = error.response is not None and error.response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
        raise (FlowModelsError if is_refusal else UnavailableError)(
            f"{what}: {' '.join(str(error).split())}"
        ) from error
