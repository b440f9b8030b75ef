"""Which version of a model is which: candidate, champion, the one before; and the way between them.

Aliases of the registered model, in MLflow's sense:

- ``challenger``: the newest version, on trial;
- ``champion``: the one in use;
- ``previous``: the champion before it, to which ``rollback`` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from flow_models.errors import FlowModelsError
from flow_models.registry.gate import Decision
from flow_models.registry.tracking import explained

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a registered model: its number, its run, its tags and what its run measured."""

    number: int
    run_id: str
    tags: dict[str, str]
    metrics: dict[str, float]


def register_version(
    client: MlflowClient, name: str, *, model_uri: str, run_id: str, tags: Mapping[str, str]
) -> Version:
    """Make a version of a logged model and call it the challenger.

    Raises:
        FlowModelsError: if MLflow refuses the name or the model.
    """
    with explained(f"register a version of {name}"):
        _ensure_registered(client, name)
        made = client.create_model_version(
            name, source=model_uri, run_id=run_id, tags=dict(tags), model_id=model_uri.removeprefix("models:/")
        )
        client.set_registered_model_alias(name, CHALLENGER, made.version)
        return _describe(client, made)


def promote(client: MlflowClient, name: str, *, version: int | None = None) -> Version:
    """Make a version the champion; without a number, the challenger.

    The present champion becomes ``previous`` first and ``champion`` moves last, so that one is in use
    at every moment. Promoting the champion changes nothing.

    Raises:
        FlowModelsError: if there is no such version.
    """
    chosen = _numbered(client, name, version) if version is not None else _required(client, name, CHALLENGER)
    champion = at_alias(client, name, CHAMPION)
    if champion is not None and champion.number == chosen.number:
        return chosen
    with explained(f"promote {name} version {chosen.number}"):
        if champion is not None:
            client.set_registered_model_alias(name, PREVIOUS, str(champion.number))
        client.set_registered_model_alias(name, CHAMPION, str(chosen.number))
    return chosen


def record_decision(client: MlflowClient, name: str, version: Version, decision: Decision) -> None:
    """Keep the gate's decision and its reasons as tags of the version.

    Raises:
        FlowModelsError: if MLflow refuses.
    """
    with explained(f"record the gate's decision on {name} version {version.number}"):
        verdict = "passed" if decision.passed else "failed"
        for tag, value in {"gate": verdict, "gate.reasons": "\n".join(decision.reasons)}.items():
            client.set_model_version_tag(name, str(version.number), tag, value)


def rollback(client: MlflowClient, name: str) -> Version:
    """Make the previous champion the champion again; the one that is left keeps the tag ``rolled_back``.

    Raises:
        FlowModelsError: if there is no previous champion.
    """
    previous, champion = _required(client, name, PREVIOUS), at_alias(client, name, CHAMPION)
    with explained(f"roll {name} back to version {previous.number}"):
        client.set_registered_model_alias(name, CHAMPION, str(previous.number))
        client.delete_registered_model_alias(name, PREVIOUS)
        if champion is not None and champion.number != previous.number:
            client.set_model_version_tag(name, str(champion.number), "rolled_back", "true")
    return previous


def status(client: MlflowClient, name: str) -> dict[str, Version]:
    """The versions that have an alias, by alias, the champion first.

    Raises:
        FlowModelsError: if no model of that name is registered.
    """
    with explained(f"look up the model {name}"):
        aliases = client.get_registered_model(name).aliases
        order = sorted(aliases, key=lambda alias: (alias != CHAMPION, alias))
        return {alias: _numbered(client, name, int(aliases[alias])) for alias in order}


def at_alias(client: MlflowClient, name: str, alias: str) -> Version | None:
    """The version that an alias points to; None when the model or the alias does not exist."""
    try:
        found = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise FlowModelsError(f"look up {name}@{alias}: {' '.join(str(error).split())}") from error
    return _describe(client, found)


def _ensure_registered(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _required(client: MlflowClient, name: str, alias: str) -> Version:
    found = at_alias(client, name, alias)
    if found is None:
        raise FlowModelsError(
            f"{name}: no version is {alias}; `flow-models status --name {name}` lists those there are"
        )
    return found


def _numbered(client: MlflowClient, name: str, number: int) -> Version:
    with explained(f"look up {name} version {number}"):
        return _describe(client, client.get_model_version(name, str(number)))


def _describe(client: MlflowClient, version: ModelVersion) -> Version:
    metrics = client.get_run(version.run_id).data.metrics if version.run_id else {}
    return Version(
        number=int(version.version),
        run_id=version.run_id or "",
        tags=dict(version.tags),
        metrics=dict(metrics),
    )
