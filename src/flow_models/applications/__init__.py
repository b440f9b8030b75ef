"""What a flow is used for: where the data come from, how good the model is at it, and the pictures.

All applications share one network, one loss, one training loop and one pipeline. ``base`` has the
contract. An application is a module of this package, or of another one, with an ``APPLICATION``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from flow_models.applications.base import Application
from flow_models.errors import FlowModelsError


def find_application(name: str) -> Application:
    """The application of a name in params.yaml: a module here, or ``package.module`` of your own.

    Raises:
        FlowModelsError: if there is none.
    """
    module = name if "." in name else f"{__name__}.{name}"
    try:
        return cast("Application", import_module(module).APPLICATION)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # a module that the application needs
    except AttributeError:
        pass
    raise FlowModelsError(
        f"application: there is no {name}; known: {', '.join(known_applications())}, or package.module of your own"
    )


def known_applications() -> list[str]:
    """The names of the applications in this package."""
    return [
        each.name for each in iter_modules(__path__) if hasattr(import_module(f"{__name__}.{each.name}"), "APPLICATION")
    ]
