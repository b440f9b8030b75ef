"""Models and estimators by their address: log them to MLflow, register them, load them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flow_models.errors import FlowModelsError, extra_named
from flow_models.model import FlowModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from flow_models.estimators.base import FlowEstimator


def log_model(
    model: FlowEstimator | FlowModel, *, name: str | None = None, example: np.ndarray | pd.DataFrame | None = None
) -> str:
    """Log a fitted estimator, or a trained model of vectors, as a pyfunc that answers for it; register it if named.

    It goes into the active MLflow run, or else into a run of its own in the experiment called after its class. What
    the pyfunc answers, ``mlflow.pyfunc.load_model(uri).predict(rows, params={"task": ...})``, is described in
    ``estimators.pyfunc_estimator`` and ``registry.pyfunc_model``; ``load(uri)`` gives back the model itself.

    Args:
        model: an estimator after ``fit``, or a ``FlowModel``.
        name: of the registered model of which to make a version, the ``challenger``; None to register nothing.
        example: a few rows as the model takes them, for the signature; None for rows in the middle of the data.

    Returns:
        The URI: ``models:/NAME/VERSION`` if it was registered, else that of the logged model.

    Raises:
        FlowModelsError: if it is a model of images, MLflow refuses it, or the pipeline's packages are not installed.
        NotFittedError: if the estimator was not fitted.
    """
    from sklearn.utils.validation import check_is_fitted

    with extra_named("fm.log_model"):
        import mlflow

        from flow_models.registry import promotion, tracking
    if not isinstance(model, FlowModel):
        check_is_fitted(model)
    client = tracking.connect()
    with tracking.explained("start a run"):
        run = mlflow.active_run() or client.create_run(tracking.experiment_id(client, type(model).__name__))
    run_id = run.info.run_id
    uri = _log_flow(run_id, model, example) if isinstance(model, FlowModel) else _log_estimator(run_id, model, example)
    if name is None:
        return uri
    version = promotion.register_version(client, name, model_uri=uri, run_id=run_id, tags={})
    return f"models:/{name}/{version.number}"


def load(uri: str | Path) -> FlowModel | FlowEstimator:
    """A model or an estimator by its address: a folder, ``models:/NAME@champion`` or ``models:/NAME/VERSION``.

    Raises:
        FlowModelsError: if there is none, or it is damaged.
    """
    from flow_models.registry.load import resolve

    with extra_named("fm.load"):
        folder = resolve(uri)
    if (folder / "estimator.json").is_file():
        from flow_models.estimators.saved import load_estimator

        return load_estimator(folder)
    return FlowModel.load(folder)


def _log_estimator(run_id: str, estimator: FlowEstimator, example: np.ndarray | pd.DataFrame | None) -> str:
    from flow_models.estimators.package import log_estimator

    return log_estimator(run_id, estimator, example=example)


def _log_flow(run_id: str, model: FlowModel, example: np.ndarray | pd.DataFrame | None) -> str:
    import numpy as np

    from flow_models.registry import package
    from flow_models.saved_model import export
    from flow_models.saved_vectors import vector_serving

    if len(model.event_shape) > 1:
        raise FlowModelsError(
            "a model of images is served with outlier scores, which `flow-models register` packages with it: use that"
        )
    observed = None if model.classes is not None else model.context_width
    rows = np.zeros((2, observed or model.dimensions), np.float32) if example is None else np.asarray(example)
    with TemporaryDirectory() as folder:
        served, saved = Path(folder) / "serving", Path(folder) / "model"
        export(vector_serving(model), served)
        model.save(saved)
        return package.log_model(run_id, saved_model=served, flow_model=saved, example=rows)
