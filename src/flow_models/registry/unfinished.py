"""A registration that was broken off: the next attempt goes on with its run and its version, and makes no other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient

from flow_models.registry.aliases import set_tags, stand
from flow_models.registry.promotion import Version, challenge, numbered
from flow_models.registry.provenance import Provenance
from flow_models.registry.tracking import explained, has_version

MODEL = "model.digest"
REGISTRATION, FINISHED = "registration", "finished"


def identity(made_from: Provenance, model_folder: Path) -> dict[str, str]:
    """The tags of a run and of a version: from what the model was made, and which it is.

    The model's digest is the sha256 of its description, in which the digest of its weights stands.
    """
    return {**made_from.tags(), MODEL: hashlib.sha256((model_folder / "model.json").read_bytes()).hexdigest()}


def resume_version(
    client: MlflowClient, name: str, *, tags: Mapping[str, str], parameters: Mapping[str, str]
) -> Version | None:
    """The newest version made of the same model, data and settings whose registration did not come to its end.

    It may have been broken off before the version was called the challenger: then it is now.

    Args:
        client: of the store.
        name: of the registered model.
        tags: its ``identity``.
        parameters: of its run.

    Raises:
        FlowModelsError: if the store refuses.
    """
    with explained(f"look for a registration of {name} that was broken off"):
        same = client.search_model_versions(f"name='{name}' and tags.`{MODEL}` = '{tags[MODEL]}'")
        for found in sorted(same, key=lambda each: -int(each.version)):
            alike = all(found.tags.get(tag) == value for tag, value in tags.items())
            if not alike or found.tags.get(REGISTRATION) == FINISHED:
                continue
            if client.get_run(found.run_id).data.params == parameters:
                challenge(client, name, int(found.version))
                return numbered(client, name, int(found.version))
    return None


def find_unfinished_run(
    client: MlflowClient, experiment: str, *, tags: Mapping[str, str], parameters: Mapping[str, str]
) -> str | None:
    """The newest run that a registration of the same model, data and settings began, and of which no version was made.

    Args:
        client: of the store.
        experiment: its id.
        tags: its ``identity``.
        parameters: all of them; it may have been broken off before it had any.
    """
    for run in client.search_runs([experiment], f"tags.`{MODEL}` = '{tags[MODEL]}'"):
        alike = tags.items() <= run.data.tags.items() and run.data.params.items() <= parameters.items()
        if alike and not has_version(client, run.info.run_id):
            return str(run.info.run_id)
    return None


def was_promoted(client: MlflowClient, name: str, version: Version) -> bool:
    """Whether a version is champion, or was: then there is nothing left to decide."""
    return version.number in stand(client, name).champions


def finish(client: MlflowClient, name: str, version: Version) -> None:
    """Note that nothing is left to do.

    Raises:
        FlowModelsError: if the store refuses.
    """
    with explained(f"end the registration of {name} version {version.number}"):
        set_tags(client, name, version.number, {REGISTRATION: FINISHED})
