from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST
from requests import exceptions

from flow_models.registry.history import Change, Kind, Standing, contended, standing


def change(
    number: int, version: int, *, kind: Kind = "promotion", after: int | None = None, attempt: str = ""
) -> Change:
    return Change(
        number=number,
        version=version,
        kind=kind,
        after=after,
        by="Ada",
        reason="better",
        at="2026-11-25T00:00:00+00:00",
        attempt=attempt or str(number),
    )


def numbers(now: Standing) -> tuple[int | None, int | None, int]:
    return now.champion, now.previous, now.place


def test_without_changes_nobody_is_champion() -> None:
    assert numbers(standing([])) == (None, None, 0)


def test_the_champion_before_is_previous_in_whatever_order_the_changes_are_read() -> None:
    assert numbers(standing([change(3, 7), change(1, 4), change(2, 5)])) == (7, 5, 3)


def test_of_two_that_were_judged_beside_the_same_champion_the_first_wins() -> None:
    first, second = change(2, 5, after=1), change(3, 6, after=1)
    now = standing([change(1, 4), first, second])
    assert numbers(now) == (5, 4, 2)
    assert now.includes(first)
    assert not now.includes(second)


def test_a_change_that_lost_does_not_make_the_next_one_late() -> None:
    assert numbers(standing([change(1, 4), change(2, 5, after=0), change(3, 6, after=1)])) == (6, 4, 3)


def test_a_person_is_never_late() -> None:
    assert numbers(standing([change(1, 4), change(2, 5), change(3, 6)])) == (6, 5, 3)


def test_promoting_the_champion_again_leaves_previous_as_it_is() -> None:
    assert numbers(standing([change(1, 4), change(2, 5), change(3, 5)])) == (5, 4, 2)


def test_a_request_that_was_sent_twice_counts_once() -> None:
    twice = [change(1, 4), change(2, 5, attempt="a"), change(3, 6), change(4, 5, attempt="a")]
    assert numbers(standing(twice)) == (6, 5, 3)


def test_a_rollback_goes_back_once_and_says_what_it_left() -> None:
    now = standing([change(1, 4), change(2, 5), change(3, 4, kind="rollback", after=2)])
    assert (*numbers(now), now.left) == (4, None, 3, 5)
    assert now.champions == {4, 5}


def raised(error: MlflowException, *, because: Exception | None = None) -> MlflowException:
    error.__context__ = because
    return error


@pytest.mark.parametrize(
    ("refusal", "attempts"),
    [
        (raised(MlflowException("duplicate key", BAD_REQUEST)), 3),
        (raised(MlflowException("too many 500"), because=exceptions.RetryError()), 3),
        (raised(MlflowException("no connection"), because=exceptions.ConnectionError()), 1),
        (raised(MlflowException("no such version", RESOURCE_DOES_NOT_EXIST)), 1),
    ],
)
def test_a_refusal_among_others_who_write_is_tried_again_and_any_other_is_not(
    refusal: MlflowException, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow_models.registry.history.time.sleep", lambda _: None)
    tried: list[int] = []

    def work() -> str:
        tried.append(1)
        if len(tried) < 3:
            raise refusal
        return "done"

    if attempts == 3:
        assert contended(work) == "done"
    else:
        with pytest.raises(MlflowException):
            contended(work)
    assert len(tried) == attempts
