"""Keep the console for what the user asked: TensorFlow and TFP are loud when they are imported."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from flow_models.errors import FlowModelsError

VERBOSE = "FLOW_MODELS_VERBOSE"
LOG = "FLOW_MODELS_LOG"
FLOW_RUN = "FLOW_MODELS_FLOW_RUN"  # set by the flows, for the commands that they run
LOUD = ("tensorflow", "tf_keras", "tensorflow_probability")


def set_up(*, verbose: bool) -> None:
    """Show this package's own messages; silence TensorFlow's unless ``verbose`` or FLOW_MODELS_VERBOSE is set.

    They are lines for people, or with ``FLOW_MODELS_LOG=json`` one JSON object each.

    Raises:
        FlowModelsError: if FLOW_MODELS_LOG is something else.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[_handler()])
    logging.getLogger("flow_models").setLevel(logging.INFO)
    if verbose or os.environ.get(VERBOSE):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def _handler() -> logging.Handler:
    handler, wanted = logging.StreamHandler(), os.environ.get(LOG)
    if wanted == "json":
        from pythonjsonlogger.json import JsonFormatter

        names = {"levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter("%(levelname)s %(name)s %(message)s", rename_fields=names, timestamp="time"))
        handler.addFilter(_add_ids)
    elif wanted:
        raise FlowModelsError(f"{LOG}={wanted}: is json, or not set")
    else:
        handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def _add_ids(record: logging.LogRecord) -> bool:
    """The ids of the flow's run and of MLflow's, as far as there are any; JSON has what a record has."""
    if flow_run := os.environ.get(FLOW_RUN):
        record.flow_run = flow_run
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None and (run := mlflow.active_run()) is not None:
        record.mlflow_run = run.info.run_id
    return True


def import_tensorflow(*, in_streams: bool = True) -> None:
    """Import what logs before its level can be set, with standard error put aside, and compute in streams if wanted.

    What it wrote is shown if the import fails, or if TensorFlow's log level asks for it. Of the two Keras it takes the
    one that TFP needs anyhow: the other takes as long to import as all the rest.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") >= "2"
    with _standard_error_aside() if quiet else nullcontext():
        for name in LOUD:
            importlib.import_module(name)
        # Looking for GPUs logs an error where there is no driver, which is no error here.
        sys.modules["tensorflow"].config.list_physical_devices()
        if in_streams:
            from flow_models.streams import use_streams

            use_streams()


@contextmanager
def _standard_error_aside() -> Iterator[None]:
    """Standard error of the whole process, C++ included, into a file; written out after an exception."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
