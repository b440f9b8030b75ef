from __future__ import annotations

from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from flow_models.errors import FlowModelsError
from flow_models.registry.gate import Decision
from flow_models.registry.promotion import (
    Version,
    at_alias,
    promote,
    record_decision,
    register_version,
    rollback,
    status,
)
from flow_models.registry.tracking import experiment_id

NAME = "flow-models"
Register = Callable[..., Version]


@pytest.fixture
def register(client: MlflowClient) -> Register:
    """Registers versions that hold nothing but their tags and metrics."""

    def make(bits_per_dim: float = 3.0) -> Version:
        run_id = client.create_run(experiment_id(client, "image_anomaly")).info.run_id
        client.log_metric(run_id, "bits_per_dim", bits_per_dim)
        model = client.create_logged_model(experiment_id(client, "image_anomaly"), source_run_id=run_id)
        client.finalize_logged_model(model.model_id, "READY")
        return register_version(client, NAME, model_uri=model.model_uri, run_id=run_id, tags={"data.shards": "abc"})

    return make


def numbers(client: MlflowClient) -> dict[str, int]:
    return {alias: version.number for alias, version in status(client, NAME).items()}


def test_a_new_version_is_the_challenger_with_its_tags_and_metrics(client: MlflowClient, register: Register) -> None:
    register(2.5)
    found = status(client, NAME)["challenger"]
    assert (found.number, found.tags, found.metrics) == (1, {"data.shards": "abc"}, {"bits_per_dim": 2.5})


def test_promotion_keeps_the_champion_before_as_previous(client: MlflowClient, register: Register) -> None:
    register()
    assert promote(client, NAME).number == 1
    assert numbers(client) == {"champion": 1, "challenger": 1}
    register()
    assert promote(client, NAME).number == 2
    assert numbers(client) == {"champion": 2, "challenger": 2, "previous": 1}


def test_promoting_the_champion_again_changes_nothing(client: MlflowClient, register: Register) -> None:
    for _ in range(2):
        register()
        promote(client, NAME)
    promote(client, NAME)
    assert numbers(client)["previous"] == 1


def test_a_version_can_be_promoted_by_its_number(client: MlflowClient, register: Register) -> None:
    register()
    register()
    promote(client, NAME, version=1)
    assert numbers(client) == {"champion": 1, "challenger": 2}


def test_rollback_returns_to_the_previous_champion_once(client: MlflowClient, register: Register) -> None:
    for _ in range(2):
        register()
        promote(client, NAME)
    assert rollback(client, NAME).number == 1
    assert numbers(client) == {"champion": 1, "challenger": 2}
    assert status(client, NAME)["challenger"].tags["rolled_back"] == "true"
    with pytest.raises(FlowModelsError, match="no version is previous"):
        rollback(client, NAME)


def test_the_gates_decision_and_reasons_stay_with_the_version(client: MlflowClient, register: Register) -> None:
    decision = Decision(passed=False, reasons=["failed: bits_per_dim 9, wanted at most 6", "passed: all else"])
    record_decision(client, NAME, register(), decision)
    tags = status(client, NAME)["challenger"].tags
    assert (tags["gate"], tags["gate.reasons"].splitlines()) == ("failed", decision.reasons)


def test_a_version_that_does_not_exist_is_refused_and_the_champion_stays(
    client: MlflowClient, register: Register
) -> None:
    register()
    promote(client, NAME)
    with pytest.raises(FlowModelsError, match="version 7"):
        promote(client, NAME, version=7)
    assert numbers(client)["champion"] == 1


def test_without_a_model_there_is_no_champion_and_a_clear_refusal(client: MlflowClient) -> None:
    assert at_alias(client, NAME, "champion") is None
    for refused in (lambda: promote(client, NAME), lambda: rollback(client, NAME), lambda: status(client, NAME)):
        with pytest.raises(FlowModelsError, match=NAME) as caught:
            refused()
        assert "\n" not in str(caught.value)
