"""The model as MLflow loads it: models-from-code around a SavedModel.

MLflow copies this file into every version and runs it where the model is served, so it must not
import flow_models.
"""

from __future__ import annotations

import io
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import tensorflow as tf
from mlflow.pyfunc import PythonModel, PythonModelContext
from PIL import Image

BATCH = 256
PNG_BITS = "compressor_bits"


class ServedFlow(PythonModel):
    """Calls one of the SavedModel's signatures.

    The parameter ``task`` says which; unset, it is ``posterior`` where the model has it, else ``score``:

    - ``score``: ``(n, ...)`` images (uint8) or vectors; one row each, ``log_prob`` in nats and what else there is: of
      images an outlier ``score``, higher is more outlying, and its conformal ``p_value``.
    - ``posterior``: observations ``(n, m)``; ``number`` rows each, ``observation`` and one column a parameter.
    - ``sample``: whatever the input, ``number`` samples; images as an array, vectors one column each.

    Samples are the same for the same ``seed``; ``temperature`` below 1 makes them more typical.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the SavedModel that lies beside this file in the version."""
        self._model = tf.saved_model.load(context.artifacts["saved_model"])
        self._functions = self._model.signatures

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame | np.ndarray:
        """Score, sample, or infer, as ``params`` say."""
        del context
        settings = params or {}
        task = settings.get("task") or ("posterior" if "posterior" in self._functions else "score")
        if task not in self._functions:
            raise ValueError(f"task {task!r}: this model has {', '.join(sorted(self._functions))}")
        drawn = {
            "number": tf.constant(settings.get("number", 100)),
            "seed": tf.constant(settings.get("seed", 0)),
            "temperature": tf.constant(settings.get("temperature", 1.0), tf.float32),
        }
        if task == "sample":
            result = {name: value.numpy() for name, value in self._functions[task](**drawn).items()}
            return result["images"] if "images" in result else pd.DataFrame(result)
        if task == "posterior":
            return self._posterior(np.asarray(model_input, np.float32), drawn)
        return self._score(np.asarray(model_input))

    def _score(self, inputs: np.ndarray) -> pd.DataFrame:
        """A bounded number at a time."""
        function = self._functions["score"]
        specs = function.structured_input_signature[1]
        (name,) = specs.keys() - {PNG_BITS}
        batches = []
        for start in range(0, max(len(inputs), 1), BATCH):
            batch = inputs[start : start + BATCH]
            given = {name: tf.constant(batch, specs[name].dtype)}
            if PNG_BITS in specs:
                given[PNG_BITS] = tf.constant([_png_bits(image) for image in batch], tf.float64)
            batches.append(function(**given))
        # A SavedModel does not keep the order of its outputs.
        names = sorted(batches[0], key=lambda name: (name != "log_prob", name))
        return pd.DataFrame({name: np.concatenate([batch[name] for batch in batches]) for name in names})

    def _posterior(self, observations: np.ndarray, drawn: dict[str, tf.Tensor]) -> pd.DataFrame:
        columns = self._functions["posterior"](observations=tf.constant(observations), **drawn)
        rows = np.repeat(np.arange(len(observations)), int(drawn["number"]))
        return pd.DataFrame({"observation": rows, **{name: value.numpy().ravel() for name, value in columns.items()}})


def _png_bits(image: np.ndarray) -> int:
    """As the score was fitted: ``flow_models.evaluation.compressors``."""
    content = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(content, format="PNG", optimize=True)
    return 8 * content.tell()


mlflow.models.set_model(ServedFlow())
