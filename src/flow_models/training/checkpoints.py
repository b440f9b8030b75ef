"""Checkpoints of a training run: written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from flow_models.data.atomic import complete_folder

logger = logging.getLogger(__name__)

STATE = "state.json"
TENSORS = "tensors"


class Checkpoints:
    """The newest few checkpoints of one run, in a folder of its own.

    Args:
        folder: of the run; made when first needed.
        tensors: what is saved and restored in place.
        keep: how many of the newest to keep.
    """

    def __init__(self, folder: Path, tensors: tf.train.Checkpoint, *, keep: int = 2) -> None:
        self._folder, self._tensors, self._keep = folder, tensors, keep

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write tensors and state under a temporary name, then give them their own."""
        with complete_folder(self._folder / f"step-{step:09d}") as unfinished:
            self._tensors.write(str(unfinished / TENSORS))
            content = json.dumps({"state": state, "sha256": _digest(unfinished)})
            (unfinished / STATE).write_text(content, encoding="utf-8")
        for old in self._newest_first()[self._keep :]:
            shutil.rmtree(old)

    def restore(self) -> dict[str, Any] | None:
        """Restore the newest whole checkpoint and return its state; None if there is none.

        A damaged one is passed over, with a warning.
        """
        for folder in self._newest_first():
            try:
                content = json.loads((folder / STATE).read_text(encoding="utf-8"))
                state: dict[str, Any] = content["state"]
                whole = content["sha256"] == _digest(folder)
            except (OSError, ValueError, KeyError, TypeError):
                whole = False
            if whole:
                self._tensors.read(str(folder / TENSORS)).assert_existing_objects_matched()
                return state
            logger.warning("%s: damaged checkpoint, passed over for the one before it", folder)
        return None

    def clear(self) -> None:
        """Remove the run's folder, when its model is saved."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"), reverse=True)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob(f"{TENSORS}*")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
