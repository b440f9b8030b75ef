"""An estimator as MLflow loads it: models-from-code around its saved folder.

MLflow copies this file into every version, and this package beside it, so that nothing but packages of
the index need be installed where the model is served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from flow_models.estimators.saved import load_estimator
from flow_models.estimators.served import serve


class ServedEstimator(PythonModel):
    """Answers with a table.

    The parameter ``task`` says with which; unset, with the first that the estimator has:

    - ``score`` of a density: ``log_prob`` in nats; of a detector also ``score``, higher is more outlying, its conformal
      ``p_value`` and the decision ``outlier``; of a classifier ``class``, each ``p_<class>`` and ``log_prob``.
    - ``sample`` of a density or a classifier: whatever the input, ``number`` rows.
    - ``posterior``: ``number`` rows for each observation, ``observation`` and one column a parameter.
    - ``mean`` of a posterior: a row for each observation, one column a parameter.

    Samples are the same for the same ``seed``.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the folder that lies beside this file in the version."""
        self._estimator = load_estimator(Path(context.artifacts["flow_model"]))

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score, sample, classify or infer, as ``params`` say."""
        del context
        return serve(self._estimator, model_input, **(params or {}))


mlflow.models.set_model(ServedEstimator())
