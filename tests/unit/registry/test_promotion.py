from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mlflow
import pytest
from mlflow import MlflowClient

from flow_models.errors import FlowModelsError
from flow_models.evaluation.paired import Difference
from flow_models.registry import history
from flow_models.registry.gate import Check, Decision
from flow_models.registry.promotion import (
    Version,
    at_alias,
    champion_and_place,
    promote,
    promote_after,
    record_decision,
    register_version,
    rollback,
    status,
)
from flow_models.registry.tracking import experiment_id

NAME = "flow-models"
Register = Callable[..., Version]


PASSED = Decision(checks=[Check("bits_per_dim", True, "bits_per_dim 3, wanted at most 6")])
FAILED = Decision(checks=[Check("bits_per_dim", False, "bits_per_dim 9, wanted at most 6")])


@pytest.fixture
def register(client: MlflowClient) -> Register:
    """Registers versions that hold nothing but their tags and metrics.

    They passed the gate beside the champion of the day unless told otherwise.
    """

    def make(bits_per_dim: float = 3.0, *, decision: Decision | None = PASSED) -> Version:
        run_id = client.create_run(experiment_id(client, "image_anomaly")).info.run_id
        client.log_metric(run_id, "bits_per_dim", bits_per_dim)
        model = client.create_logged_model(experiment_id(client, "image_anomaly"), source_run_id=run_id)
        client.finalize_logged_model(model.model_id, "READY")
        made = register_version(client, NAME, model_uri=model.model_uri, run_id=run_id, tags={"data.shards": "abc"})
        if decision is not None:
            champion, _ = champion_and_place(client, NAME)
            beside = {"champion": champion.number} if champion else {}
            record_decision(client, NAME, made, replace(decision, **beside))
        return made

    return make


def numbers(client: MlflowClient) -> dict[str, int]:
    return {alias: version.number for alias, version in status(client, NAME).items()}


def test_a_new_version_is_the_challenger_with_its_tags_and_metrics(client: MlflowClient, register: Register) -> None:
    register(2.5, decision=None)
    found = status(client, NAME)["challenger"]
    assert (found.number, found.tags, found.metrics) == (1, {"data.shards": "abc"}, {"bits_per_dim": 2.5})


def test_promotion_keeps_the_champion_before_as_previous(client: MlflowClient, register: Register) -> None:
    register()
    assert promote(client, NAME, by="Ada").number == 1
    assert numbers(client) == {"champion": 1, "challenger": 1}
    register()
    assert promote(client, NAME, by="Ada").number == 2
    assert numbers(client) == {"champion": 2, "challenger": 2, "previous": 1}


def test_promoting_the_champion_again_changes_nothing(client: MlflowClient, register: Register) -> None:
    for _ in range(2):
        register()
        promote(client, NAME, by="Ada")
    promote(client, NAME, by="Grace", reason="again")
    assert numbers(client)["previous"] == 1
    assert status(client, NAME)["champion"].tags["promoted.by"] == "Ada"


def test_a_version_can_be_promoted_by_its_number(client: MlflowClient, register: Register) -> None:
    register()
    register()
    promote(client, NAME, by="Ada", version=1)
    assert numbers(client) == {"champion": 1, "challenger": 2}


@pytest.mark.parametrize(("decision", "why"), [(FAILED, "failed the gate"), (None, "was not judged by the gate")])
def test_a_version_that_did_not_pass_needs_a_reason_which_stays_with_it(
    decision: Decision | None, why: str, client: MlflowClient, register: Register
) -> None:
    register(decision=decision)
    with pytest.raises(FlowModelsError, match=f"version 1: {why}; .* --reason TEXT") as caught:
        promote(client, NAME, by="Ada")
    assert "\n" not in str(caught.value)
    assert numbers(client) == {"challenger": 1}
    promote(client, NAME, by="Ada", reason="the bound was wrong")
    tags = status(client, NAME)["champion"].tags
    assert (tags["promoted.by"], tags["promoted.reason"]) == ("Ada", "the bound was wrong")
    assert tags["promoted.at"].startswith("20")


def test_rollback_returns_to_the_previous_champion_once_and_says_who_and_why(
    client: MlflowClient, register: Register
) -> None:
    for _ in range(2):
        register()
        promote(client, NAME, by="Ada")
    assert rollback(client, NAME, by="Grace", reason="alarms").number == 1
    assert numbers(client) == {"champion": 1, "challenger": 2}
    tags = status(client, NAME)["challenger"].tags
    assert (tags["rolled_back.by"], tags["rolled_back.reason"]) == ("Grace", "alarms")
    with pytest.raises(FlowModelsError, match="no version is previous"):
        rollback(client, NAME, by="Grace")


def test_a_version_that_was_rolled_back_is_not_made_champion_again_without_a_reason(
    client: MlflowClient, register: Register
) -> None:
    for _ in range(2):
        register()
        promote(client, NAME, by="Ada")
    rollback(client, NAME, by="Grace", reason="alarms")
    with pytest.raises(FlowModelsError, match=r"version 2: was champion, and was rolled back \(alarms\); .* --reason"):
        promote(client, NAME, by="Ada")
    assert numbers(client) == {"champion": 1, "challenger": 2}
    promote(client, NAME, by="Ada", reason="the alarms were right")
    assert numbers(client)["champion"] == 2


def test_a_version_that_passed_beside_another_champion_is_to_be_judged_anew(
    client: MlflowClient, register: Register
) -> None:
    register()
    promote(client, NAME, by="Ada")
    register()
    register()
    promote(client, NAME, by="Ada", version=3)
    with pytest.raises(FlowModelsError, match=r"champion was 1, now it is version 3; run `flow-models register`"):
        promote(client, NAME, by="Ada", version=2)
    assert numbers(client)["champion"] == 3


def test_the_gate_promotes_only_beside_the_champion_that_it_judged_by(client: MlflowClient, register: Register) -> None:
    first, second = register(), register()
    champion, place = champion_and_place(client, NAME)
    assert champion is None
    assert promote_after(client, NAME, first, after=place)
    assert not promote_after(client, NAME, second, after=place)
    champion, place = champion_and_place(client, NAME)
    assert champion is not None
    assert champion.number == first.number
    assert promote_after(client, NAME, second, after=place)
    assert numbers(client) == {"champion": 2, "challenger": 2, "previous": 1}
    assert status(client, NAME)["champion"].tags["promoted.by"] == "gate"


def test_the_gates_decision_numbers_and_reasons_stay_with_the_version_and_its_run(
    client: MlflowClient, register: Register
) -> None:
    difference = Difference(mean=0.25, lower=0.125, upper=0.375, number=30)
    decision = Decision(
        checks=[*FAILED.checks, *PASSED.checks], data="abc", unit="nats", champion=7, difference=difference
    )
    version = register(decision=decision)
    tags = status(client, NAME)["challenger"].tags
    assert {name: value for name, value in tags.items() if name.startswith("gate")} == {
        "gate": "failed",
        "gate.reasons": "failed: bits_per_dim 9, wanted at most 6\npassed: bits_per_dim 3, wanted at most 6",
        "gate.data": "abc",
        "gate.champion": "7",
        "gate.difference": "0.25 nats",
        "gate.interval": "0.125 to 0.375",
        "gate.examples": "30",
    }
    assert mlflow.artifacts.load_dict(f"runs:/{version.run_id}/gate.json") == decision.to_json()


def test_a_champion_from_before_there_was_a_history_is_written_down(client: MlflowClient, register: Register) -> None:
    for _ in range(3):
        register()
    for alias, version in (("champion", "2"), ("previous", "1")):
        client.set_registered_model_alias(NAME, alias, version)
    promote(client, NAME, by="Ada", reason="a trial")
    assert numbers(client) == {"champion": 3, "challenger": 3, "previous": 2}
    changes = [(each.version, each.kind, each.by) for each in history.read(client, NAME)]
    assert changes == [(1, "found", "unknown"), (2, "found", "unknown"), (3, "promotion", "Ada")]


def test_a_champion_that_was_made_by_hand_is_written_down_and_previous_is_true(
    client: MlflowClient, register: Register
) -> None:
    for _ in range(3):
        register()
    promote(client, NAME, by="Ada", version=1)
    client.set_registered_model_alias(NAME, "champion", "2")
    promote(client, NAME, by="Ada", version=3, reason="a trial")
    assert numbers(client) == {"champion": 3, "challenger": 3, "previous": 2}


def test_a_champion_that_was_deleted_stands_in_nobodys_way(client: MlflowClient, register: Register) -> None:
    for _ in range(3):
        register()
    promote(client, NAME, by="Ada", version=1)
    client.delete_model_version(NAME, "1")
    champion, place = champion_and_place(client, NAME)
    assert champion is None
    assert promote_after(client, NAME, register(), after=place)
    assert numbers(client) == {"champion": 4, "challenger": 4}


def test_a_version_that_does_not_exist_is_refused_and_the_champion_stays(
    client: MlflowClient, register: Register
) -> None:
    register()
    promote(client, NAME, by="Ada")
    with pytest.raises(FlowModelsError, match="version 7"):
        promote(client, NAME, by="Ada", version=7)
    assert numbers(client)["champion"] == 1


def test_without_a_model_there_is_no_champion_and_a_clear_refusal(client: MlflowClient) -> None:
    assert at_alias(client, NAME, "champion") is None
    for refused in (
        lambda: promote(client, NAME, by="Ada"),
        lambda: rollback(client, NAME, by="Ada"),
        lambda: status(client, NAME),
    ):
        with pytest.raises(FlowModelsError, match=NAME) as caught:
            refused()
        assert "\n" not in str(caught.value)
