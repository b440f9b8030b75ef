"""The exceptions that a user is meant to read."""

from __future__ import annotations


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
