"""The exceptions that a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class FlowModelsError(Exception):
    """Bad input, found at the boundary before work starts.

    The message is one line that says what is wrong, where, and what to do. The command line
    prints it without a traceback and exits with 2; anything else that is raised is a bug.
    """


class UnavailableError(FlowModelsError):
    """A server or the network is away: the input may be right, and another attempt may help.

    The command line exits with 75, which is what mail systems call a temporary failure, and the
    Prefect flows try again.
    """


class InterruptedTrainingError(FlowModelsError):
    """Training was asked to stop, and left a checkpoint to continue from."""


@contextmanager
def extra_named(what: str, *, extra: str = "pipeline") -> Iterator[None]:
    """Say in one line how to get a package that the base installation does not bring.

    Args:
        what: needs it.
        extra: of this package, which brings it.

    Raises:
        FlowModelsError: if the block imports a package that is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("flow_models"):
            raise
        remedy = f"pip install 'flow-models[{extra}]'"
        raise FlowModelsError(f"{what}: needs {error.name}, which is not installed; {remedy}") from None
