"""MLflow: log a run, package a model, gate, promote, roll back, load."""

import os

# MLflow reads these while it is imported: it would report usage to its makers, print links between the
# progress bars, and wait minutes for a server that is not there. Whoever sets one of them is obeyed.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}.items():
    os.environ.setdefault(_name, _value)
