"""A source that DVC imported from elsewhere, brought to its newest version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from flow_models.errors import FlowModelsError


def update_import(source: Path) -> bool:
    """Run ``dvc update`` if ``dvc import-url`` made the source; say whether it did.

    Raises:
        FlowModelsError: if DVC cannot.
    """
    pointer = source.with_name(f"{source.name}.dvc")
    if not pointer.is_file() or "deps" not in yaml.safe_load(pointer.read_text(encoding="utf-8")):
        return False
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "update", "--quiet", pointer.name]
    done = subprocess.run(command, cwd=pointer.parent, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise FlowModelsError(f"{pointer}: dvc update failed ({reason}); correct what it names and run this again")
    return True
