from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mlflow
import pytest
from mlflow import MlflowClient

from flow_models.registry.promotion import Version, promote, register_version
from flow_models.registry.provenance import Provenance
from flow_models.registry.runs import log_run
from flow_models.registry.tracking import experiment_id
from flow_models.registry.unfinished import MODEL, finish, resume_version, was_promoted
from flow_models.settings import Settings

NAME = "flow-models"
TAGS = {"data.shards": "abc", MODEL: "0123"}
PARAMETERS = {"seed": "0"}
MADE_FROM = Provenance(source="data", commit="abc", lock="1", data="2", manifest="3", shards="4")


@pytest.fixture
def begin(client: MlflowClient) -> Callable[[], Version]:
    """Makes a version whose registration is not finished."""

    def make() -> Version:
        run_id = client.create_run(experiment_id(client, "image_anomaly")).info.run_id
        client.log_param(run_id, "seed", "0")
        model = client.create_logged_model(experiment_id(client, "image_anomaly"), source_run_id=run_id)
        client.finalize_logged_model(model.model_id, "READY")
        return register_version(client, NAME, model_uri=model.model_uri, run_id=run_id, tags=TAGS)

    return make


def test_where_nothing_was_registered_there_is_nothing_to_go_on_with(client: MlflowClient) -> None:
    assert resume_version(client, NAME, tags=TAGS, parameters=PARAMETERS) is None


def test_a_registration_that_was_broken_off_is_found_until_it_is_finished(
    client: MlflowClient, begin: Callable[[], Version]
) -> None:
    version = begin()
    assert resume_version(client, NAME, tags=TAGS, parameters=PARAMETERS) == version
    finish(client, NAME, version)
    assert resume_version(client, NAME, tags=TAGS, parameters=PARAMETERS) is None


def test_one_that_was_broken_off_before_its_alias_is_the_challenger_afterwards(
    client: MlflowClient, begin: Callable[[], Version]
) -> None:
    older, version = begin(), begin()
    client.set_registered_model_alias(NAME, "challenger", str(older.number))
    resume_version(client, NAME, tags=TAGS, parameters=PARAMETERS)
    assert int(client.get_model_version_by_alias(NAME, "challenger").version) == version.number


def test_one_is_not_the_challenger_when_a_newer_version_is(client: MlflowClient, begin: Callable[[], Version]) -> None:
    _, newer = begin(), begin()
    finish(client, NAME, newer)
    assert resume_version(client, NAME, tags=TAGS, parameters=PARAMETERS) is not None
    assert int(client.get_model_version_by_alias(NAME, "challenger").version) == newer.number


@pytest.mark.parametrize(
    ("tags", "parameters"),
    [(TAGS | {MODEL: "4567"}, PARAMETERS), (TAGS | {"data.shards": "def"}, PARAMETERS), (TAGS, {"seed": "1"})],
)
def test_one_of_another_model_other_data_or_settings_is_left_alone(
    client: MlflowClient, begin: Callable[[], Version], tags: dict[str, str], parameters: dict[str, str]
) -> None:
    begin()
    assert resume_version(client, NAME, tags=tags, parameters=parameters) is None


def test_one_that_was_promoted_already_needs_no_decision(client: MlflowClient, begin: Callable[[], Version]) -> None:
    first, second = begin(), begin()
    promote(client, NAME, by="Ada", version=first.number, reason="a trial")
    assert was_promoted(client, NAME, first)
    assert not was_promoted(client, NAME, second)


@pytest.mark.parametrize("at", ["log_params", "log_metrics", "log_artifact"])
def test_one_that_was_broken_off_before_its_version_goes_on_in_its_own_run(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(mlflow, at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            log_run(client, Settings(), MADE_FROM)
    (begun,) = client.search_runs([experiment_id(client, "image_anomaly")])
    assert log_run(client, Settings(), MADE_FROM) == begun.info.run_id
    (run,) = client.search_runs([experiment_id(client, "image_anomaly")])
    assert (run.info.status, run.data.metrics["bits_per_dim"]) == ("FINISHED", 4.4)


def test_a_run_of_another_model_other_data_or_settings_is_left_alone(client: MlflowClient) -> None:
    runs = [log_run(client, Settings(), MADE_FROM), log_run(client, Settings(seed=1), MADE_FROM)]
    runs.append(log_run(client, Settings(), replace(MADE_FROM, shards="5")))
    (Settings().model_folder / "model.json").write_text('{"another": 1}')
    runs.append(log_run(client, Settings(), MADE_FROM))
    assert len(set(runs)) == 4


def test_a_run_that_a_version_was_made_of_is_left_alone(client: MlflowClient) -> None:
    first = log_run(client, Settings(), MADE_FROM)
    client.create_registered_model(NAME)
    client.create_model_version(NAME, source=client.get_run(first).info.artifact_uri, run_id=first)
    assert log_run(client, Settings(), MADE_FROM) != first


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
