"""Package a trained model for MLflow: SavedModel, models-from-code pyfunc, signature, example, requirements."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from flow_models.registry.tracking import explained, in_run

PYFUNC = Path(__file__).with_name("pyfunc_model.py")
FLOW_MODEL = "flow_model"
SAVED_MODEL = "saved_model"
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "tensorflow")


def log_model(run_id: str, *, saved_model: Path, flow_model: Path, example: np.ndarray) -> str:
    """Add the model to an MLflow run.

    Args:
        run_id: the run that the model belongs to.
        saved_model: a SavedModel with some of the signatures ``score``, ``sample`` and ``posterior``.
        flow_model: the folder that ``FlowModel.load`` reads; it travels with the version.
        example: ``(n, ...)``, a few images, vectors or observations to try the model on.

    Returns:
        The URI of the logged model, for ``register_version``.

    Raises:
        FlowModelsError: if MLflow refuses the model or cannot store it.
    """
    with explained("package the model"), in_run(run_id):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PYFUNC),
            artifacts={SAVED_MODEL: str(saved_model), FLOW_MODEL: str(flow_model)},
            signature=signature(example),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
    return str(info.model_uri)


def signature(example: np.ndarray) -> ModelSignature:
    """What goes into the packaged model: arrays like the example, and the parameters of ``pyfunc_model``."""
    inputs = TensorSpec(example.dtype, (-1, *example.shape[1:]))
    params = [
        ParamSpec("task", DataType.string, ""),
        ParamSpec("number", DataType.integer, 100),
        ParamSpec("seed", DataType.integer, 0),
        ParamSpec("temperature", DataType.double, 1.0),
    ]
    return ModelSignature(inputs=Schema([inputs]), params=ParamSchema(params))
