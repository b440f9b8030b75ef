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
    unfinished = path.with_name(f".{path.name}.unfinished")
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # what a killed run left
    unfinished.mkdir()
    try:
        yield unfinished
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.replace(folder)
    except OSError as error:
        raise_without_room(error, folder)
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def raise_without_room(error: OSError, path: Path) -> None:
    """Raise what a user can read if an error means that the disk or the quota is full."""
    if error.errno in _NO_ROOM:
        reason = os.strerror(error.errno)
        raise FlowModelsError(f"{path}: cannot be written ({reason}); make room and run this again") from None
