"""The aliases ``champion`` and ``previous``, which repeat what the history says.

They are moved after the history, ``champion`` last, and whoever moved them looks whether the history has grown since.
So of many who promote at once the last to move an alias has seen all changes; and what a run left unfinished when it
was killed, the next one finishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from flow_models.registry import history
from flow_models.registry.history import Change, Standing, contended
from flow_models.registry.tracking import explained

CHAMPION = "champion"
PREVIOUS = "previous"
MISSING = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def stand(client: MlflowClient, name: str) -> Standing:
    """Who is champion by the history; aliases and tags that a run left unfinished are put right first.

    A ``champion`` that never was one by the history was made so by hand, or before there was a history: it is written
    down, by ``unknown``. One moved by hand to an earlier champion is moved back: that is what ``rollback`` is for.

    Raises:
        FlowModelsError: if the store refuses.
    """
    with explained(f"look up who is champion of {name}"):
        changes, aliases = history.read(client, name), _aliases(client, name)
        if _write_down_unwritten(client, name, history.standing(changes), aliases):
            return settle(client, name)
        return settle(client, name, changes, aliases)


def settle(
    client: MlflowClient, name: str, changes: list[Change] | None = None, aliases: Mapping[str, int] | None = None
) -> Standing:
    """Move the aliases to where the history says; whoever moved one looks whether the history has grown meanwhile.

    Args:
        client: of the store.
        name: of the registered model.
        changes: its history, if that was just read.
        aliases: its aliases, if they were read after it.
    """
    changes = history.read(client, name) if changes is None else changes
    while True:
        now = history.standing(changes)
        if not (now.changes and _repeat(client, name, now, aliases)):
            return now
        before, changes, aliases = changes, history.read(client, name), None
        if len(changes) == len(before):
            return now


def set_tags(client: MlflowClient, name: str, version: int, tags: Mapping[str, str]) -> bool:
    """Set those tags of a version that it does not have yet, in their order; whether there were any."""
    has = client.get_model_version(name, str(version)).tags
    missing = {tag: value for tag, value in tags.items() if has.get(tag) != value}
    for tag, value in missing.items():
        contended(partial(client.set_model_version_tag, name, str(version), tag, value))
    return bool(missing)


def _write_down_unwritten(client: MlflowClient, name: str, now: Standing, aliases: Mapping[str, int]) -> bool:
    """Take note of a champion that the history does not know; whether there was one."""
    champion = aliases.get(CHAMPION)
    if champion is None or champion in now.champions:
        return False
    # `previous` alone may be an unfinished change, unless there is no history yet.
    unwritten = [champion] if now.changes else [aliases.get(PREVIOUS), champion]
    for version in unwritten:
        if version is not None:
            why = "was champion already, written down nowhere"
            history.add(client, name, version=version, kind="found", after=now.place, by="unknown", reason=why)
            now = history.standing(history.read(client, name))
    return True


def _repeat(client: MlflowClient, name: str, now: Standing, aliases: Mapping[str, int] | None) -> bool:
    """On the version and at the aliases, in this order, what the history says; whether that was news there."""
    tagged = _tag(client, name, now)
    aliases = _aliases(client, name) if aliases is None else aliases
    wanted = {PREVIOUS: now.previous, CHAMPION: now.champion}
    moved = {alias: number for alias, number in wanted.items() if aliases.get(alias) != number}
    for alias, number in moved.items():
        _point(client, name, alias, number)
    return tagged or bool(moved)


def _tag(client: MlflowClient, name: str, now: Standing) -> bool:
    """Say on the version that the last change speaks of who made it, and why."""
    change = now.changes[-1]
    said = {"by": change.by, "reason": change.reason, "at": change.at}
    if change.kind == "found":
        return False
    if now.left is None:
        tags = {f"promoted.{key}": value for key, value in said.items()}
    else:
        tags = {f"rolled_back.{key}": value for key, value in said.items()}
    try:
        return set_tags(client, name, change.version if now.left is None else now.left, tags)
    except MlflowException as error:
        if error.error_code in MISSING:  # the version was deleted
            return False
        raise


def _point(client: MlflowClient, name: str, alias: str, number: int | None) -> None:
    try:
        if number is not None:
            contended(partial(client.set_registered_model_alias, name, alias, str(number)))
            return
    except MlflowException as error:
        if error.error_code not in MISSING:  # the version was deleted: then nothing has this alias
            raise
    contended(partial(client.delete_registered_model_alias, name, alias))


def _aliases(client: MlflowClient, name: str) -> dict[str, int]:
    """By alias, the version; empty if there is no such model."""
    try:
        return {alias: int(number) for alias, number in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code in MISSING:
            return {}
        raise
