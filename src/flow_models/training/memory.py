"""Whether the activations of a step fit into memory, or are better computed again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import psutil
import tensorflow as tf
from tensorflow.python.client import device_lib

from flow_models.architectures import activation_bytes
from flow_models.data.atomic import complete_file
from flow_models.settings import Reversible

logger = logging.getLogger(__name__)

# The rest is for weights, moments, input and what lives within an operation.
USABLE = 0.8
OF_THE_RUN = "reversible.json"
CGROUP = Path("/sys/fs/cgroup")


def choose_reversible(
    wanted: Reversible, architecture: str, options: dict[str, Any], *, batch_size: int, run: Path
) -> bool:
    """What is asked for; for ``auto``, to recompute when the activations would not fit into the memory that is free.

    A run keeps what was chosen when it was started, in its folder ``run``: both ways round differently, and it is to
    end with the weights of one that was never interrupted.

    Args:
        wanted: the setting.
        architecture: a name in ``architectures``.
        options: of the architecture, ``compute_dtype`` included.
        batch_size: examples that one device takes in a step.
        run: the folder of the run's checkpoints.
    """
    if wanted != "auto":
        return wanted
    kept = run / OF_THE_RUN
    if kept.exists():
        return bool(json.loads(kept.read_text(encoding="utf-8")))
    needed, free = batch_size * activation_bytes(architecture, **options), free_bytes()
    reversible = needed > USABLE * free
    logger.info(
        "activations of a step: about %.2f GB, with %.1f GB of memory free: %s",
        needed / 2**30,
        free / 2**30,
        "recomputed in the gradient (reversible)" if reversible else "kept",
    )
    with complete_file(kept) as unfinished:
        unfinished.write_text(json.dumps(reversible), encoding="utf-8")
    return reversible


def free_bytes() -> float:
    """Memory free on the device that trains: the first GPU, else this machine within its container's limit."""
    for device in device_lib.list_local_devices():
        if device.device_type == "GPU":
            return device.memory_limit - tf.config.experimental.get_memory_info("GPU:0")["current"]
    return min(psutil.virtual_memory().available, _left_in_container())


def _left_in_container(folder: Path = CGROUP) -> float:
    """What a limit of control groups leaves; infinite where there is none."""
    try:
        limit, used = [(folder / name).read_text().strip() for name in ("memory.max", "memory.current")]
    except OSError:
        return float("inf")
    return float("inf") if limit == "max" else float(limit) - float(used)
