"""What runs inside the job: change params.yaml as asked, then ``dvc repro`` of one application."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from flow_models.errors import FlowModelsError
from flow_models.settings import load_settings
from flows.pipeline import stages_of

PARAMS = Path("params.yaml")
BAD_INPUT = 2


def change_settings(changes: Sequence[str], *, params: Path = PARAMS) -> None:
    """Write values into params.yaml, which must then still be right.

    Args:
        changes: each ``section.key=value``; the value is read as YAML.
        params: the file.

    Raises:
        FlowModelsError: if a change is not of this form, or makes a setting that there is not.
    """
    settings = yaml.safe_load(params.read_text(encoding="utf-8"))
    for change in changes:
        key, equals, value = change.partition("=")
        *sections, name = key.split(".")
        if not equals or not name:
            raise FlowModelsError(f"--set {change}: write it as section.key=value, such as train.epochs=200")
        section: dict[str, Any] = settings
        for part in sections:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise FlowModelsError(f"--set {change}: {part} is no section")
        section[name] = yaml.safe_load(value)
    params.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    load_settings(params)


def main(arguments: Sequence[str]) -> None:
    """``[--application NAME] [--set section.key=value …]``; the process becomes ``dvc repro``, with its exit code."""
    options = list(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or any(name not in {"--application", "--set"} for name, _ in options):
        raise FlowModelsError(f"{' '.join(arguments)}: only --application NAME and --set section.key=value are known")
    change_settings([value for name, value in options if name == "--set"])
    application = dict(options).get("--application", load_settings(PARAMS).application)
    os.execv(sys.executable, [sys.executable, "-m", "dvc", "repro", stages_of(application)[-1]])  # noqa: S606


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FlowModelsError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(BAD_INPUT)
