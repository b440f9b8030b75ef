"""The challenger and the champion before the gate: both scored on the same frozen examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mlflow import MlflowClient
from mlflow.models import get_model_info
from numpy.typing import NDArray

from flow_models.data.manifest import read_manifest
from flow_models.errors import FlowModelsError, UnavailableError
from flow_models.evaluation.frozen import FrozenSet
from flow_models.registry.gate import Opponent
from flow_models.registry.load import resolve
from flow_models.registry.promotion import Version
from flow_models.registry.tracking import explained
from flow_models.registry.trained_on import REFERENCES, trained_on
from flow_models.settings import MANIFEST

if TYPE_CHECKING:
    from flow_models.model import FlowModel


def meet(client: MlflowClient, name: str, champion: Version, *, challenger: Version, frozen: FrozenSet) -> Opponent:
    """Fetch the champion and score it on the challenger's frozen examples.

    Args:
        client: of the store.
        name: of the registered model.
        champion: of it.
        challenger: another version.
        frozen: on which the challenger is scored.

    Raises:
        UnavailableError: if the store is away; whatever else keeps the champion from being scored is in the answer.
    """
    try:
        losses = frozen.losses(_load(name, champion, application=challenger.application))
        inputs, others = (_inputs(name, each) for each in (challenger, champion))
        learned = _learned(client, champion, frozen)
    except UnavailableError:
        raise
    except FlowModelsError as error:
        return Opponent(version=champion.number, why_not=str(error))
    changed = "" if inputs == others else f"{inputs}, but the champion, version {champion.number}, takes {others}"
    judged_on = champion.tags.get("gate.data", "")
    return Opponent(version=champion.number, losses=losses, other_inputs=changed, learned=learned, judged_on=judged_on)


def _learned(client: MlflowClient, champion: Version, frozen: FrozenSet) -> NDArray[np.bool_] | None:
    """Which examples are images that the champion was trained on, under whatever key; None if that is not known."""
    then = None if frozen.keys is None else trained_on(client, champion, kept=REFERENCES)
    if then is None:
        return None
    contents = read_manifest(MANIFEST).set_index("key")["sha256"].reindex(frozen.keys)
    return np.asarray(contents.isin(then.loc[then["split"] == "train", "sha256"].dropna()))


def _load(name: str, version: Version, *, application: str | None) -> FlowModel:
    from flow_models.model import FlowModel

    if version.application != application:
        raise FlowModelsError(f"it is one of {version.application}, the challenger of {application}")
    return FlowModel.load(resolve(f"models:/{name}/{version.number}"))


def _inputs(name: str, version: Version) -> str:
    """What a version is called with: ``uint8 (-1, 8, 8, 1)`` and the names of its parameters."""
    with explained(f"read the signature of {name} version {version.number}"):
        signature = get_model_info(f"models:/{name}/{version.number}").signature
    tensors = [f"{each.type} {each.shape}" for each in signature.inputs.inputs]
    return ", ".join([*tensors, *(each.name for each in signature.params or ())])
