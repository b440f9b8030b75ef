"""The training's history as MLflow's curves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric

MOST = 500  # MLflow takes at most 1,000 metrics in one request
EPOCH = "epoch"  # the curve that tells which rows a run has


def log_rows(client: MlflowClient, run_id: str, rows: Iterable[Mapping[str, float | str]]) -> None:
    """Each column becomes a curve over the column ``step``; rows that the run has already are left out.

    Args:
        client: of the store.
        run_id: of the run.
        rows: of ``history.csv``; an empty cell was not measured at that step.
    """
    known = {metric.step for metric in client.get_metric_history(run_id, EPOCH)}
    now = int(time.time() * 1000)
    request: list[Metric] = []
    for row in rows:
        step = int(row["step"])
        if step in known:
            continue
        metrics = [
            Metric(name, float(value), now, step) for name, value in row.items() if name != "step" and value != ""
        ]
        if len(request) + len(metrics) > MOST:
            client.log_batch(run_id, metrics=request)
            request = []
        request += metrics
    if request:
        client.log_batch(run_id, metrics=request)
