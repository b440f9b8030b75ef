"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_models.errors import FlowModelsError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which it replaces when the block ends without an error.

    Raises:
        FlowModelsError: if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished(path)
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise_without_room(error, path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder``, which it replaces when the block ends without an error.

    Raises:
        FlowModelsError: if the disk is full.
    """
    shutil.rmtree(_unfinished(folder), ignore_errors=True)  # what a killed run left
    try:
        with resumed_folder(folder) as unfinished:
            yield unfinished
    finally:
        shutil.rmtree(_unfinished(folder), ignore_errors=True)


@contextmanager
def resumed_folder(folder: Path) -> Iterator[Path]:
    """Like :func:`complete_folder`, but the folder has what a block left there that did not come to its end.

    Raises:
        FlowModelsError: if the disk is full.
    """
    unfinished = _unfinished(folder)
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        yield unfinished
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.replace(folder)
    except OSError as error:
        raise_without_room(error, folder)
        raise


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")


def raise_without_room(error: OSError, path: Path) -> None:
    """Raise what a user can read if an error means that the disk or the quota is full."""
    if error.errno in _NO_ROOM:
        reason = os.strerror(error.errno)
        raise FlowModelsError(f"{path}: cannot be written ({reason}); make room and run this again") from None
