"""Seconds that a promotion and a rollback take at the registry, beside one request of MLflow's.

    python -m benchmarks.registry [--repeats 10] [--changes 0]

Asks the server that MLFLOW_TRACKING_URI names, where it leaves the model ``benchmark-…`` and its history, or else an
sqlite file in a temporary folder. ``--changes`` gives the model a history of that length first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow import MlflowClient

from flow_models.registry.promotion import promote, rollback

WHY = "to see how long it takes"  # without, the versions would have to be judged anew each time


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--changes", type=int, default=0)
    wanted = parser.parse_args()
    with TemporaryDirectory() as folder:
        if not mlflow.is_tracking_uri_set():
            mlflow.set_tracking_uri(f"sqlite:///{Path(folder) / 'mlflow.db'}")
        store = mlflow.get_tracking_uri().rsplit("@")[-1]  # without a password
        print(f"{store}, {wanted.changes} changes before, load {os.getloadavg()[0]:.1f}")
        _measure(MlflowClient(), repeats=wanted.repeats, changes=wanted.changes)


def _measure(client: MlflowClient, *, repeats: int, changes: int) -> None:
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    model = client.create_logged_model(client.create_experiment(name))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model(name)
    for _ in range(2):
        client.create_model_version(name, source=model.model_uri, model_id=model.model_id, tags={"gate": "passed"})
    for change in range(changes + 1):
        promote(client, name, by="benchmark", version=1 + change % 2, reason=WHY)
    seconds: dict[str, list[float]] = {"one request": [], "promotion": [], "rollback": []}
    for _ in range(repeats):
        seconds["one request"].append(_timed(lambda: client.get_registered_model(name)))
        seconds["promotion"].append(
            _timed(lambda: promote(client, name, by="benchmark", version=2 - changes % 2, reason=WHY))
        )
        seconds["rollback"].append(_timed(lambda: rollback(client, name, by="benchmark")))
    for what, values in seconds.items():
        print(f"{what:12}  median {statistics.median(values):.3f} s  largest {max(values):.3f} s")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
