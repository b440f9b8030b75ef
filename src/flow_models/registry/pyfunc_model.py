"""The model as MLflow loads it: models-from-code around a SavedModel.

MLflow copies this file into every version and runs it where the model is served, so it must not
import flow_models.
"""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import tensorflow as tf
from mlflow.pyfunc import PythonModel, PythonModelContext

BATCH = 256
SCORES = ("log_prob", "bits_per_dim", "typicality")


class FlowScorer(PythonModel):
    """Scores images: uint8 ``(n, height, width, channels)`` to one row an image.

    Columns: ``log_prob`` in nats, ``bits_per_dim`` of the 8-bit image, ``typicality`` (Nalisnick 2019).
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the SavedModel that lies beside this file in the version."""
        self._model = tf.saved_model.load(context.artifacts["saved_model"])
        self._score = self._model.signatures["score"]

    def predict(self, model_input: np.ndarray) -> pd.DataFrame:
        """Score the images, a bounded number at a time."""
        batches = [
            self._score(images=tf.constant(model_input[start : start + BATCH], tf.uint8))
            for start in range(0, len(model_input), BATCH)
        ]
        return pd.DataFrame(
            {name: np.concatenate([batch[name].numpy() for batch in batches] or [[]]) for name in SCORES}
        )


mlflow.models.set_model(FlowScorer())
