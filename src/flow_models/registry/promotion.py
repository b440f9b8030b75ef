"""Which version of a model is which: candidate, champion, the one before; and the way between them.

Aliases of the registered model, in MLflow's sense:

- ``challenger``: the newest version, on trial;
- ``champion``: the one in use;
- ``previous``: the champion before it, to which ``rollback`` returns.

Who made which version champion, and why, is in ``history``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from flow_models.errors import FlowModelsError
from flow_models.registry import aliases, history
from flow_models.registry.aliases import MISSING, set_tags, settle, stand
from flow_models.registry.gate import Decision
from flow_models.registry.history import Standing
from flow_models.registry.tracking import explained

CHAMPION, CHALLENGER, PREVIOUS = aliases.CHAMPION, "challenger", aliases.PREVIOUS
DECISION = "gate.json"  # among the artifacts of the version's run
GATE, PASSED, FAILED = "gate", "passed", "failed"
REASONS = "gate.reasons"  # a line each
_PASSED_GATE = "passed the gate"
_CHANGED = "the champion changed at the same time; look at `flow-models status` again"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a registered model: its number, its run and the run's application, its tags and measures."""

    number: int
    run_id: str
    application: str | None
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
        history.ensure_registered(client, name)
        made = client.create_model_version(
            name, source=model_uri, run_id=run_id, tags=dict(tags), model_id=model_uri.removeprefix("models:/")
        )
        challenge(client, name, int(made.version))
        return _describe(client, made)


def challenge(client: MlflowClient, name: str, number: int) -> None:
    """Call a version the challenger, unless it or a newer one is."""
    if int(client.get_registered_model(name).aliases.get(CHALLENGER, 0)) < number:
        client.set_registered_model_alias(name, CHALLENGER, str(number))


def promote(
    client: MlflowClient, name: str, *, by: str, version: int | None = None, reason: str | None = None
) -> Version:
    """Make a version the champion as a person wishes; without a number, the challenger.

    Promoting the champion changes nothing. Without a reason it is the gate's judgement that decides, which holds only
    beside the champion that it was made beside.

    Args:
        client: of the store.
        name: of the registered model.
        by: who wishes it.
        version: its number.
        reason: why; a version that passed the gate beside today's champion, and was none itself, needs none.

    Raises:
        FlowModelsError: if there is no such version, or the gate's judgement does not carry it and no reason is given.
    """
    now = stand(client, name)
    chosen = numbered(client, name, version) if version is not None else _required(client, name, CHALLENGER)
    if chosen.number == now.champion:
        return chosen
    if not reason:
        if against := _against(chosen, now):
            raise FlowModelsError(f"{name} version {chosen.number}: {against}: --reason TEXT")
        if not promote_after(client, name, chosen, after=now.place, by=by):
            raise FlowModelsError(f"{name}: {_CHANGED}")
        return chosen
    with explained(f"promote {name} version {chosen.number}"):
        history.add(client, name, version=chosen.number, kind="promotion", after=None, by=by, reason=reason)
        settle(client, name)
    return chosen


def _against(version: Version, now: Standing) -> str:
    """Why the gate's judgement does not make a version champion today, and what to do; empty if it does."""
    verdict, say_why = version.tags.get(GATE), "say why it should be champion all the same"
    if verdict != PASSED:
        return f"{'failed the gate' if verdict else 'was not judged by the gate'}; {say_why}"
    if version.number in now.champions:
        left = version.tags.get("rolled_back.reason")
        return f"was champion, and {f'was rolled back ({left})' if left else 'another took its place'}; {say_why}"
    beside, today = version.tags.get("gate.champion", "none"), str(now.champion or "none")
    if beside != today:
        again = "run `flow-models register` where it was trained, to have it judged anew"
        return f"passed the gate when the champion was {beside}, now it is version {today}; {again}, or {say_why}"
    return ""


def champion_and_place(client: MlflowClient, name: str) -> tuple[Version | None, int]:
    """Whom a challenger is to be compared with, and the place in the history, for ``promote_after``.

    Not from the alias, which somebody who promotes at this moment may just be moving. None if there is no champion,
    or its version was deleted.

    Raises:
        FlowModelsError: if the store refuses.
    """
    now = stand(client, name)
    if now.champion is None:
        return None, now.place
    try:
        return _describe(client, client.get_model_version(name, str(now.champion))), now.place
    except MlflowException as error:
        if error.error_code in MISSING:
            return None, now.place
        raise FlowModelsError(f"look up the champion of {name}: {' '.join(str(error).split())}") from error


def promote_after(client: MlflowClient, name: str, version: Version, *, after: int, by: str = GATE) -> bool:
    """Make a version that the gate let through the champion, unless the champion has changed since.

    Args:
        client: of the store.
        name: of the registered model.
        version: that passed.
        after: the place in the history at which it was judged.
        by: who wishes it.

    Returns:
        Whether it is champion now; if not, it was compared with one that no longer is.
    """
    with explained(f"promote {name} version {version.number}"):
        made = history.add(
            client, name, version=version.number, kind="promotion", after=after, by=by, reason=_PASSED_GATE
        )
        now = settle(client, name)
    return now.includes(made)


def record_decision(client: MlflowClient, name: str, version: Version, decision: Decision) -> None:
    """Keep the gate's decision, its numbers and its reasons as tags of the version and as ``gate.json`` of the run.

    Raises:
        FlowModelsError: if MLflow refuses.
    """
    with explained(f"record the gate's decision on {name} version {version.number}"):
        client.log_dict(version.run_id, decision.to_json(), DECISION)
        tags = {REASONS: "\n".join(decision.reasons), "gate.data": decision.data, **_compared(decision)}
        # The verdict last: what has one has its reasons.
        tags[GATE] = PASSED if decision.passed else FAILED
        set_tags(client, name, version.number, tags)


def _compared(decision: Decision) -> dict[str, str]:
    """With whom, and how it came out; ``none`` where nothing was compared, for an earlier decision may have been."""
    difference = decision.difference
    numbers = ("none", "none", "none")
    if difference is not None:
        mean = f"{difference.mean:.6g} {decision.unit}"
        numbers = (mean, f"{difference.lower:.6g} to {difference.upper:.6g}", str(difference.number))
    champion = "none" if decision.champion is None else str(decision.champion)
    return dict(
        zip(("gate.champion", "gate.difference", "gate.interval", "gate.examples"), (champion, *numbers), strict=True)
    )


def rollback(client: MlflowClient, name: str, *, by: str, reason: str | None = None) -> Version:
    """Make the previous champion the champion again; the one that is left keeps the tags ``rolled_back.…``.

    Raises:
        FlowModelsError: if there is no previous champion, or the champion changed at the same time.
    """
    now = stand(client, name)
    previous = _required(client, name, PREVIOUS)
    with explained(f"roll {name} back to version {previous.number}"):
        made = history.add(
            client,
            name,
            version=previous.number,
            kind="rollback",
            after=now.place,
            by=by,
            reason=reason or "none given",
        )
        if not settle(client, name).includes(made):
            raise FlowModelsError(f"{name}: {_CHANGED}")
    return previous


def status(client: MlflowClient, name: str) -> dict[str, Version]:
    """The versions that have an alias, by alias, the champion first.

    Raises:
        FlowModelsError: if no model of that name is registered.
    """
    with explained(f"look up the model {name}"):
        found = client.get_registered_model(name).aliases
        order = sorted(found, key=lambda alias: (alias != CHAMPION, alias))
        return {alias: numbered(client, name, int(found[alias])) for alias in order}


def at_alias(client: MlflowClient, name: str, alias: str) -> Version | None:
    """The version that an alias points to; None when the model or the alias does not exist."""
    try:
        found = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in MISSING:
            return None
        raise FlowModelsError(f"look up {name}@{alias}: {' '.join(str(error).split())}") from error
    return _describe(client, found)


def numbered(client: MlflowClient, name: str, number: int) -> Version:
    """A version by its number.

    Raises:
        FlowModelsError: if there is none, or the store refuses.
    """
    with explained(f"look up {name} version {number}"):
        return _describe(client, client.get_model_version(name, str(number)))


def _required(client: MlflowClient, name: str, alias: str) -> Version:
    found = at_alias(client, name, alias)
    if found is None:
        raise FlowModelsError(
            f"{name}: no version is {alias}; `flow-models status --name {name}` lists those there are"
        )
    return found


def _describe(client: MlflowClient, version: ModelVersion) -> Version:
    data = client.get_run(version.run_id).data if version.run_id else None
    return Version(
        number=int(version.version),
        run_id=version.run_id or "",
        application=data.params.get("application") if data else None,
        tags=dict(version.tags),
        metrics=dict(data.metrics) if data else {},
    )
