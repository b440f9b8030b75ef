"""What readers find at the aliases, whoever is killed between two steps or comes in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

from flow_models.registry import history
from flow_models.registry.aliases import stand
from flow_models.registry.promotion import promote, rollback
from flow_models.registry.tracking import experiment_id

WRITES = ("create_", "set_", "delete_")
Work = Callable[[MlflowClient, str], object]


class Killed(BaseException):
    """What no handler of errors stops."""


class Dying:
    """A client whose process is killed just before a certain write, which is just after the one before it."""

    def __init__(self, client: MlflowClient, *, at: int) -> None:
        self._client, self._at, self.writes = client, at, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._counted(method) if name.startswith(WRITES) else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            if self.writes == self._at:
                raise Killed
            return method(*arguments, **named)

        return call


def first_promotion(client: MlflowClient, name: str) -> None:
    promote(client, name, by="Ada", version=1, reason="a trial")


def second_promotion(client: MlflowClient, name: str) -> None:
    promote(client, name, by="Ada", version=2, reason="a trial")


def going_back(client: MlflowClient, name: str) -> None:
    rollback(client, name, by="Ada")


STORIES: dict[str, tuple[list[Work], Work]] = {
    "the first promotion": ([], first_promotion),
    "a promotion": ([first_promotion], second_promotion),
    "a rollback": ([first_promotion, second_promotion], going_back),
}


@pytest.fixture
def make(client: MlflowClient) -> Callable[[str], None]:
    model = client.create_logged_model(experiment_id(client, "image_anomaly"))
    client.finalize_logged_model(model.model_id, "READY")

    def make(name: str) -> None:
        """A model with three versions that passed the gate."""
        client.create_registered_model(name)
        for _ in range(3):
            client.create_model_version(name, source=model.model_uri, tags={"gate": "passed"})

    return make


def aliases(client: MlflowClient, name: str) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


@pytest.mark.parametrize("story", STORIES)
def test_the_next_run_finishes_what_a_killed_one_left_and_the_history_is_true(
    story: str, client: MlflowClient, make: Callable[[str], None]
) -> None:
    before, work = STORIES[story]
    at, finished = 0, False
    while not finished:
        at += 1
        name = f"{story}, killed at {at}"
        make(name)
        for each in before:
            each(client, name)
        standing_before = aliases(client, name)
        dying = Dying(client, at=at)
        try:
            work(dying, name)  # type: ignore[arg-type]
            finished = True
        except Killed:
            pass

        # Whoever reads now finds a champion: the one before, or the one to be.
        assert aliases(client, name).get("champion") in {standing_before.get("champion"), 1, 2}
        if before:
            assert "champion" in aliases(client, name)

        left = aliases(client, name)
        now = stand(client, name)
        if now.champion is not None and left.get("champion") == now.champion:
            assert left.get("previous") == now.previous  # for the champion moves last
        wanted = {"champion": now.champion, "previous": now.previous}
        assert aliases(client, name) == {alias: number for alias, number in wanted.items() if number}
        wanted_tags = {"promoted.by", "rolled_back.by"} if now.left else {"promoted.by"}
        if now.changes:
            assert wanted_tags <= set(client.get_model_version(name, str(now.left or now.champion)).tags)

        promote(client, name, by="Grace", version=3, reason="a trial")
        after = {"champion": 3, **({"previous": now.champion} if now.champion else {})}
        assert aliases(client, name) == after
        assert history.standing(history.read(client, name)).champion == 3
    assert at > 3  # it was killed at several steps


class Overtaken:
    """A client that is about to move ``champion`` when another promotion comes and goes."""

    def __init__(self, client: MlflowClient, other: Callable[[], object]) -> None:
        self._client, self._other = client, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        if alias == "champion":
            other, self._other = self._other, lambda: None
            other()
        self._client.set_registered_model_alias(name, alias, version)


def test_who_moves_an_alias_late_sees_that_the_history_has_grown(
    client: MlflowClient, make: Callable[[str], None]
) -> None:
    make("late")
    promote(client, "late", by="Ada", version=1, reason="a trial")
    slow = Overtaken(client, lambda: promote(client, "late", by="Grace", version=3, reason="a trial"))
    promote(slow, "late", by="Ada", version=2, reason="a trial")  # type: ignore[arg-type]
    assert aliases(client, "late") == {"champion": 3, "previous": 2}
