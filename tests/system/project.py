"""A copy of this project in a folder of its own, and the commands that a user runs in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flow_models.data.demo import write_demo

CLONE = Path(__file__).resolve().parents[2]
BINARIES = Path(sys.executable).parent  # where the environment's flow-models and dvc are

# From scikit-learn's digits, few enough for a chain of a minute.
IMAGES = {
    "train/digit0": 40,
    "train/digit1": 40,
    "val/digit0": 15,
    "val/digit1": 15,
    "val/photograph": 20,
    "val/jigsaw": 20,
}
SETTINGS = {
    "validation": {"min_images_per_class": 10},
    "model": {"steps": 1, "hidden_channels": 8},
    "train": {
        "epochs": 20,
        "minutes": None,
        "batch_size": 16,
        "patience": 100,
        "checkpoint_minutes": 0.0,  # after every step
        "precision": "float32",
    },
    "evaluate": {"samples": 8, "temperatures": [1.0]},
    "register": {"gate": {"bits_per_dim": {"max": 30.0}}},
}


@dataclass(frozen=True)
class Done:
    """What a command printed, both streams in order, and its exit code."""

    code: int
    text: str

    @property
    def stages(self) -> list[str]:
        """The stages that DVC ran, in order."""
        return re.findall(r"^Running stage '([\w@-]+)'", self.text, re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """A clone with small data and a small model."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Project:
        """What git tracks here, as it stands, with small settings and data, committed and never run."""
        tracked = subprocess.run(["git", "ls-files"], cwd=CLONE, check=True, capture_output=True, text=True).stdout
        for name in tracked.splitlines():
            if not name.startswith("tests/") and name not in {"dvc.lock", "data.dvc"}:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CLONE / name, folder / name)
        project = cls(folder)
        project.set(SETTINGS)
        _write_images(folder / "data")
        project.run("git", "init", "-q")
        project.run("dvc", "add", "-q", "data")
        project.commit("small")
        return project

    def copy(self, folder: Path, *, registry: bool = False) -> Project:
        """Another one in the same state; its registry, which holds absolute paths, only to be looked at."""
        beside = shutil.ignore_patterns(*(() if registry else ("mlflow.db", "mlartifacts")))
        shutil.copytree(self.folder, folder, ignore=beside)
        return Project(folder)

    def run(self, *command: str) -> Done:
        """Run a command in the project, to a good end."""
        done = self.attempt(*command)
        assert done.code == 0, f"{command}: {done.code}\n{done.text[-3000:]}"
        return done

    def attempt(self, *command: str) -> Done:
        """Run a command that may fail."""
        with self.start(*command) as process:
            text, _ = process.communicate(timeout=300)
        return Done(process.returncode, text)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command, in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def outdated(self) -> set[str]:
        """The stages that DVC would look at again."""
        return set(json.loads(self.run("dvc", "status", "--json", "--with-deps", "register@image_anomaly").text))

    def commit(self, message: str) -> None:
        """Commit every file that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "-q", "-m", message)

    def set(self, changes: dict[str, Any]) -> None:
        """Change params.yaml."""
        path = self.folder / "params.yaml"
        settings = yaml.safe_load(path.read_text())
        for section, values in changes.items():
            if isinstance(values, dict):
                settings[section] |= values
            else:
                settings[section] = values
        path.write_text(yaml.safe_dump(settings, sort_keys=False))

    def json(self, path: str) -> Any:
        """The content of a JSON file."""
        return json.loads((self.folder / path).read_text())

    def _environment(self) -> dict[str, str]:
        """Ours, with the environment's commands in front and nothing of the user's own set-up."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GIT_"))}
        identity = {f"GIT_{who}_{what}": "test@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = os.pathsep.join([str(BINARIES), kept.get("PATH", os.defpath)])
        return {**kept, **identity, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1"}


def _write_images(folder: Path) -> None:
    everything = folder.with_name("everything")
    write_demo(everything)
    for name, count in IMAGES.items():
        (folder / name).mkdir(parents=True)
        for image in sorted((everything / name).iterdir())[:count]:
            shutil.copy(image, folder / name)
    shutil.rmtree(everything)
