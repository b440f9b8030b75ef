"""A clone whose five stages do next to nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[2]
STAGES = ("validate", "prepare", "train@image_anomaly", "evaluate@image_anomaly", "register@image_anomaly")
REGISTER = """
import json, pathlib
folder = pathlib.Path("reports/image_anomaly")
folder.mkdir(parents=True, exist_ok=True)
registered = {"name": "tiny", "version": 1, "alias": "champion", "reasons": ["passed: bits_per_dim 3"]}
(folder / "metrics.json").write_text(json.dumps({"bits_per_dim": 3.0, "auroc": {"ball": 0.9}}))
(folder / "registered.json").write_text(json.dumps(registered))
"""


def make_clone(folder: Path) -> Path:
    """The flows, prefect.yaml and params.yaml, over stages that are small scripts: NAME.py, to be replaced."""
    shutil.copytree(CLONE / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "params.yaml"):
        shutil.copy(CLONE / name, folder)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    pipeline: dict[str, Any] = {"stages": {}}
    for stage in STAGES:
        name, _, application = stage.partition("@")
        (folder / f"{name}.py").write_text(REGISTER if name == "register" else f"print('this is {name}')\n")
        matrix = {"matrix": {"application": [application]}} if application else {}
        pipeline["stages"][name] = {**matrix, "cmd": f"python {name}.py"}
    (folder / "dvc.yaml").write_text(json.dumps(pipeline))
    return folder
