"""What happened last to a model: its newest runs, and the drift that was measured against its champion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient

from flow_models.registry.aliases import set_tags
from flow_models.registry.promotion import Version
from flow_models.registry.tracking import explained

RUNS = 5
_DRIFT = ("at", "images", "data", "reasons")
_NO_REASON = "none"


def last_runs(client: MlflowClient, name: str, versions: Iterable[Version]) -> dict[str, dict[str, Any]]:
    """State, start and version of the newest runs, by their ids, in the experiments that some versions come from.

    Raises:
        FlowModelsError: if the store refuses.
    """
    with explained(f"look up the last runs of {name}"):
        made_in = {each.run_id for each in versions if each.run_id}
        experiments = {client.get_run(run_id).info.experiment_id for run_id in made_in}
        if not experiments:
            return {}
        runs = client.search_runs(sorted(experiments), order_by=["attributes.start_time DESC"], max_results=RUNS)
        ids = ", ".join(f"'{each.info.run_id}'" for each in runs)
        registered = client.search_model_versions(f"name = '{name}' and run_id IN ({ids})")
        numbers = {each.run_id: int(each.version) for each in registered}
        return {
            each.info.run_id: {
                "state": each.info.status,
                "started": f"{datetime.fromtimestamp(each.info.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC",
                "version": numbers.get(each.info.run_id),
            }
            for each in runs
        }


def record_drift(client: MlflowClient, name: str, champion: Version, found: Mapping[str, Any]) -> None:
    """Note on the champion when drift was measured, on which images, and what was found, for whoever asks elsewhere.

    Raises:
        FlowModelsError: if MLflow refuses.
    """
    told = {**found, "reasons": "\n".join(found["reasons"]) or _NO_REASON}
    with explained(f"record the drift that {name} version {champion.number} has seen"):
        set_tags(client, name, champion.number, {f"drift.{key}": str(told[key]) for key in _DRIFT})


def last_drift(champion: Version) -> dict[str, Any] | None:
    """What was noted last; None if drift was not measured since the version became champion."""
    if "drift.at" not in champion.tags:
        return None
    told: dict[str, Any] = {key: champion.tags[f"drift.{key}"] for key in _DRIFT}
    return told | {"images": int(told["images"]), "reasons": told["reasons"].splitlines()}
