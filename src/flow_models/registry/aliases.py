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
from flow_models.registry.history import Standing, contended
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
        _write_down_unwritten(client, name)
        return settle(client, name)


def settle(client: MlflowClient, name: str) -> Standing:
    """Move the aliases to where the history says, and look again until it has not grown meanwhile."""
    changes = history.read(client, name)
    while True:
        now = history.standing(changes)
        if now.changes:
            _tag(client, name, now)
            _align(client, name, now)
        before, changes = changes, history.read(client, name)
        if len(changes) == len(before):
            return now


def set_tags(client: MlflowClient, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Set those tags of a version that it does not have yet, in their order."""
    has = client.get_model_version(name, str(version)).tags
    for tag, value in tags.items():
        if has.get(tag) != value:
            contended(partial(client.set_model_version_tag, name, str(version), tag, value))


def _write_down_unwritten(client: MlflowClient, name: str) -> None:
    now, aliases = history.standing(history.read(client, name)), _aliases(client, name)
    champion = aliases.get(CHAMPION)
    if champion is None or champion in now.champions:
        return
    # `previous` alone may be an unfinished change, unless there is no history yet.
    unwritten = [champion] if now.changes else [aliases.get(PREVIOUS), champion]
    for number in unwritten:
        if number is not None:
            why = "was champion already, written down nowhere"
            history.add(client, name, version=number, kind="found", after=now.place, by="unknown", reason=why)
            now = history.standing(history.read(client, name))


def _tag(client: MlflowClient, name: str, now: Standing) -> None:
    """Repeat the last change on the version that it speaks of."""
    change = now.changes[-1]
    said = {"by": change.by, "reason": change.reason, "at": change.at}
    number = change.version if change.kind == "promotion" else now.left
    if change.kind == "promotion":
        tags = {f"promoted.{key}": value for key, value in said.items()}
    else:
        tags = {**{f"rolled_back.{key}": value for key, value in said.items()}, "rolled_back": "true"}
    try:
        if number is not None and change.kind != "found":
            set_tags(client, name, number, tags)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise


def _align(client: MlflowClient, name: str, now: Standing) -> None:
    aliases = _aliases(client, name)
    for alias, number in ((PREVIOUS, now.previous), (CHAMPION, now.champion)):
        if aliases.get(alias) != number:
            _point(client, name, alias, number)


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
