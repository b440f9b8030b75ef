"""Who made which version champion, when and why: a list that is only ever added to, and what follows from it.

MLflow moves an alias whatever it pointed to before, so two who move it at once would not know of each other. But it
numbers the versions of a registered model one after the other, and in one transaction with their tags, whatever the
database and however many machines ask. So every change of champion is first written down as a version of the model
``NAME.promotions``; its number is its place among all changes. Who is champion is what follows from all of them in
their order, and the aliases only repeat it.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal, TypeVar

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from requests.exceptions import RetryError

from flow_models.registry.tracking import CANNOT_NOW

SUFFIX = ".promotions"
Kind = Literal["promotion", "rollback", "found"]
_PAGE = 1_000
_PATIENCE_SECONDS = 30.0
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the history.

    Attributes:
        number: its place, from 1.
        version: that is to be champion.
        kind: ``found`` is an alias that somebody moved without writing it down.
        after: the change that must be the last one in force for this to come into force; None: whatever was before.
        by: a person, or ``gate``.
        reason: in that one's words.
        at: the time, ISO 8601, UTC.
        attempt: its own name; a request that was sent twice has it twice.
    """

    number: int
    version: int
    kind: Kind
    after: int | None
    by: str
    reason: str
    at: str
    attempt: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What follows from the history.

    Attributes:
        changes: those that came into force, the first one first.
        champion: the version in use.
        previous: the champion before it; none after a rollback, which goes back once.
        left: the version that the last change rolled back from.
    """

    changes: tuple[Change, ...] = ()
    champion: int | None = None
    previous: int | None = None
    left: int | None = None

    @property
    def place(self) -> int:
        """The number of the change in force; 0 if there is none."""
        return self.changes[-1].number if self.changes else 0

    @property
    def champions(self) -> set[int]:
        """Every version that ever was champion."""
        return {change.version for change in self.changes}

    def includes(self, change: Change) -> bool:
        """Whether a change came into force, be it undone since."""
        return change.attempt in {each.attempt for each in self.changes}


def standing(changes: Iterable[Change]) -> Standing:
    """Follow the changes in their order; one that came too late, or says nothing new, is without effect."""
    now = Standing()
    for change in sorted(changes, key=lambda each: each.number):
        late = change.after is not None and change.after != now.place
        if late or now.includes(change) or change.version == now.champion:
            continue
        back = change.kind == "rollback"
        now = Standing(
            changes=(*now.changes, change),
            champion=change.version,
            previous=None if back else now.champion,
            left=now.champion if back else None,
        )
    return now


def read(client: MlflowClient, name: str) -> list[Change]:
    """Every change of a model's champion, the first one first."""
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name='{name}{SUFFIX}'", max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return sorted((_change(each) for each in found), key=lambda each: each.number)


def add(
    client: MlflowClient, name: str, *, version: int, kind: Kind, after: int | None, by: str, reason: str
) -> Change:
    """Write a change down; whether it comes into force, ``standing`` says.

    Its version in ``NAME.promotions`` is a copy of the version that it makes champion, and loads like it.
    """
    tags = {
        "version": str(version),
        "kind": kind,
        "by": by,
        "reason": reason,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "attempt": uuid.uuid4().hex,
        **({} if after is None else {"after": str(after)}),
    }
    source = f"models:/{name}/{version}"
    write = partial(client.create_model_version, f"{name}{SUFFIX}", source=source, tags=tags)
    try:
        return _change(contended(write))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        about = f"Every change of the champion of {name}, in order. Versions are only added; see docs/operations.md."
        ensure_registered(client, f"{name}{SUFFIX}", about=about)
    return _change(contended(write))


def contended(work: Callable[[], _T]) -> _T:
    """Do what MLflow refuses while others do the same to the same rows; it tries thrice by itself, and gives up.

    Raises:
        MlflowException: its last one after half a minute, and at once one that is about something else.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return work()
        except MlflowException as error:
            if not _passes(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.05, 0.3))  # noqa: S311


def _passes(error: MlflowException) -> bool:
    """A server that answered that it could not, not one that did not answer."""
    away = isinstance(error.__context__, OSError) and not isinstance(error.__context__, RetryError)
    return not away and error.error_code in CANNOT_NOW | {"INTERNAL_ERROR"}


def ensure_registered(client: MlflowClient, name: str, *, about: str | None = None) -> None:
    """Make a registered model, if there is none of that name."""
    try:
        client.create_registered_model(name, description=about)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _change(version: ModelVersion) -> Change:
    tags = version.tags
    return Change(
        number=int(version.version),
        version=int(tags["version"]),
        kind=tags["kind"],
        after=int(tags["after"]) if "after" in tags else None,
        by=tags["by"],
        reason=tags["reason"],
        at=tags["at"],
        attempt=tags["attempt"],
    )
