"""The challenger and the champion before the gate: both scored on the same frozen examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.models import get_model_info

from flow_models.errors import FlowModelsError, UnavailableError
from flow_models.evaluation.frozen import FrozenSet
from flow_models.registry.gate import Opponent
from flow_models.registry.load import resolve
from flow_models.registry.promotion import Version
from flow_models.registry.tracking import explained

if TYPE_CHECKING:
    from flow_models.model import FlowModel


def meet(name: str, champion: Version, *, challenger: Version, frozen: FrozenSet) -> Opponent:
    """Fetch the champion and score it on the challenger's frozen examples.

    Args:
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
    except UnavailableError:
        raise
    except FlowModelsError as error:
        return Opponent(version=champion.number, why_not=str(error))
    changed = "" if inputs == others else f"{inputs}, but the champion, version {champion.number}, takes {others}"
    return Opponent(version=champion.number, losses=losses, other_inputs=changed)


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
