"""Package a fitted estimator for MLflow: its saved folder, a pyfunc and the code that it needs."""

from __future__ import annotations

from importlib.metadata import requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from packaging.requirements import Requirement

from flow_models.estimators.base import FlowEstimator
from flow_models.estimators.served import example_of
from flow_models.registry.package import FLOW_MODEL
from flow_models.registry.tracking import explained, in_run

PYFUNC = Path(__file__).with_name("pyfunc_estimator.py")
PACKAGE = Path(__file__).parents[1]
SERVED_BY = ("mlflow", "pandas")  # beside what the estimators themselves need


def log_estimator(run_id: str, estimator: FlowEstimator, *, example: np.ndarray | pd.DataFrame | None = None) -> str:
    """Add a fitted estimator to an MLflow run, with its parameters and how its training ended.

    Args:
        run_id: the run that it belongs to.
        estimator: fitted.
        example: a few rows as it takes them; None for two in the middle of those that it was fitted to.

    Returns:
        The URI of the logged model, for ``register_version``.

    Raises:
        FlowModelsError: if MLflow refuses the model or cannot store it.
    """
    example = example_of(estimator) if example is None else example
    with TemporaryDirectory() as folder, explained("package the estimator"), in_run(run_id):
        saved = Path(folder) / "estimator"
        estimator.save(saved)
        info = mlflow.pyfunc.log_model(
            name=type(estimator).__name__,
            python_model=str(PYFUNC),
            artifacts={FLOW_MODEL: str(saved)},
            code_paths=[str(PACKAGE)],
            signature=_signature(example),
            input_example=example,
            pip_requirements=_requirements(),
            params=estimator.get_params(),
        )
        mlflow.log_metrics(_metrics(estimator), model_id=info.model_id)
    return str(info.model_uri)


def _signature(example: np.ndarray | pd.DataFrame) -> ModelSignature:
    """Columns by name if the example has names, else arrays like it; and the parameters of ``serve``."""
    if isinstance(example, pd.DataFrame):
        inputs = infer_signature(example).inputs
    else:
        inputs = Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))])
    params = [
        ParamSpec("task", DataType.string, ""),
        ParamSpec("number", DataType.integer, 100),
        ParamSpec("seed", DataType.integer, 0),
    ]
    return ModelSignature(inputs=inputs, params=ParamSchema(params))


def _metrics(estimator: FlowEstimator) -> dict[str, float]:
    endings = estimator.endings_
    return {
        "held_out_loss": float(np.mean([each.held_out_loss for each in endings])),
        "fit_seconds": sum(each.seconds for each in endings),
    }


def _requirements() -> list[str]:
    """What the base installation has, as it is installed here."""
    base: list[Any] = [Requirement(each) for each in requires("flow-models") or ()]
    names = {each.name for each in base if each.marker is None}
    return [f"{name}=={version(name)}" for name in sorted(names.union(SERVED_BY))]
