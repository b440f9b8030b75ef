"""A training in MLflow while it runs: its run, its curves, its machine."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from flow_models.data.atomic import complete_file
from flow_models.registry.curves import log_rows
from flow_models.registry.tracking import connect, experiment_id, explained, has_version

logger = logging.getLogger(__name__)

RUN = "run.json"
SECONDS_BETWEEN = 5.0
TIMEOUT, TIMEOUT_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", "10"  # MLflow itself would wait two minutes for an answer


class LiveRun:
    """A listener of the training loop that keeps an MLflow run up to date; ``register`` logs into the same run.

    The run's id lies with the checkpoints while the training lasts, so that a resumed one continues its curves, and
    beside the saved model afterwards, in ``run.json``. A store that is away stops nothing: one warning, and
    ``register`` sends from the history what is missing.

    Args:
        experiment: its name.
        parameters: those that the training depends on, as text.
        checkpoints: the folder of the run's checkpoints.
    """

    def __init__(self, *, experiment: str, parameters: Mapping[str, str], checkpoints: Path) -> None:
        self._experiment, self._parameters, self._checkpoints = experiment, parameters, checkpoints
        self._client: MlflowClient | None = None  # also None when the store was given up
        self._run_id: str | None = None
        self._waiting: list[Mapping[str, float]] = []
        self._sent = 0.0

    def on_start(self, history: Sequence[Mapping[str, float]]) -> None:
        """Start the run, or continue the one that the checkpoints belong to."""
        self._waiting, self._run_id = list(history), _read(self._checkpoints)
        self._attempt(self._start)

    def on_epoch(self, row: Mapping[str, float]) -> None:
        """Send the epoch; short ones wait for others, for a request takes its time."""
        self._waiting.append(row)
        if time.monotonic() - self._sent >= SECONDS_BETWEEN:
            self._attempt(self._send)

    def on_end(self, folder: Path | None) -> None:
        """Send the rest, end the run, and leave its id beside the model."""
        self._attempt(self._send)
        # The store may be away again: then `register` ends the run.
        with suppress(Exception), _impatient():
            mlflow.end_run("FINISHED" if folder else "KILLED")
        if folder and self._run_id:
            _write(folder / RUN, self._run_id)

    def _start(self) -> None:
        client = connect()
        # What fails on its thread is one more warning about the same store.
        logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
        run = mlflow.start_run(
            run_id=run_of(client, self._checkpoints),
            experiment_id=experiment_id(client, self._experiment),
            log_system_metrics=True,
        )
        self._client, self._run_id = client, str(run.info.run_id)
        _write(self._checkpoints / RUN, self._run_id)
        mlflow.log_params(dict(self._parameters))
        self._send()

    def _send(self) -> None:
        if self._client is not None and self._waiting:
            log_rows(self._client, str(self._run_id), self._waiting)
            self._waiting, self._sent = [], time.monotonic()

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do it; whatever befalls the store, the training goes on."""
        try:
            with _impatient(), explained("follow the training in MLflow"):
                work()
        except Exception as error:  # noqa: BLE001
            self._client = None
            logger.warning("%s; training goes on without, and `register` sends its curves", error)


def run_of(client: MlflowClient, folder: Path) -> str | None:
    """The id of the run that a folder belongs to; None if it names none that the store has."""
    run = _found(client, folder)
    return None if run is None else str(run.info.run_id)


def open_run_of(client: MlflowClient, model_folder: Path, parameters: Mapping[str, str]) -> str | None:
    """The id of the run in which a model was trained, if its registration may be logged there.

    None if the store has no such run, if a version was made of it already, whose metrics must stay, or if it was given
    other parameters, which MLflow does not let change.
    """
    run = _found(client, model_folder)
    if run is None or has_version(client, run.info.run_id):
        return None
    contradicts = any(parameters.get(name, value) != value for name, value in run.data.params.items())
    return None if contradicts else str(run.info.run_id)


def _found(client: MlflowClient, folder: Path) -> Run | None:
    run_id = _read(folder)
    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):  # the folder comes from elsewhere
            return None
        raise
    return run if run.info.lifecycle_stage == LifecycleStage.ACTIVE else None


def _read(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / RUN).read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or not whole
        return None


def _write(path: Path, run_id: str) -> None:
    with complete_file(path) as unfinished:
        unfinished.write_text(json.dumps({"run_id": run_id}) + "\n", encoding="utf-8")


@contextmanager
def _impatient() -> Iterator[None]:
    """Give up a store that does not answer soon, unless the user set a time, and without a line for each attempt."""
    attempts = logging.getLogger("urllib3.connectionpool")
    level, chosen = attempts.level, os.environ.get(TIMEOUT)
    attempts.setLevel(logging.ERROR)
    os.environ.setdefault(TIMEOUT, TIMEOUT_SECONDS)
    try:
        yield
    finally:
        attempts.setLevel(level)
        if chosen is None:
            del os.environ[TIMEOUT]
