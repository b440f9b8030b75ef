"""From a model's address to the folder that ``FlowModel.load``, or that of an estimator, reads."""

from __future__ import annotations

from pathlib import Path

from flow_models.errors import FlowModelsError


def resolve(uri: str | Path) -> Path:
    """The local folder of a model, fetched from MLflow if it is not here.

    Args:
        uri: a folder, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises:
        FlowModelsError: if there is no such folder or version, or the store cannot be reached.
    """
    return _fetched(str(uri)) if str(uri).startswith("models:/") else _folder(Path(uri))


def _fetched(uri: str) -> Path:
    # MLflow is no part of the base installation, which reads folders.
    import mlflow
    from mlflow.models import Model

    from flow_models.registry.package import FLOW_MODEL
    from flow_models.registry.tracking import connect_to_existing, explained

    connect_to_existing()
    with explained(f"fetch {uri}"):
        version = mlflow.artifacts.download_artifacts(uri)
    packaged = Model.load(version).flavors["python_function"].get("artifacts", {})
    if FLOW_MODEL not in packaged:
        raise FlowModelsError(
            f"{uri}: not a model of this project; name one that `flow-models register` or fm.log_model made"
        )
    return Path(version, packaged[FLOW_MODEL]["path"])


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise FlowModelsError(f"{path}: no such folder; name a model's folder or models:/NAME@champion")
    return path
