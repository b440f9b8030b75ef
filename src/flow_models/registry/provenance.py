"""From what a model was made: the commit, the data and the state of the pipeline, by their digests."""

from __future__ import annotations

import getpass
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from flow_models.settings import ACCEPTED

LOCK = Path("dvc.lock")
UNKNOWN = "unknown"
IMAGE_COMMIT = "FLOW_MODELS_COMMIT"  # in a container image, which has no git


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a run and a version are tagged with.

    Attributes:
        source: of the data: a folder or an address.
        commit: of git, with ``-dirty`` when tracked files differ from it; dvc.lock and accepted.json,
            which the run itself writes, are not counted.
        lock: sha256 of dvc.lock, or ``unknown``.
        data: DVC's digest of the data, as in dvc.lock and in data.dvc; for data that DVC does not
            track, the beginning of the manifest's.
        manifest: sha256 over every image's key and sha256.
        shards: sha256 of the prepared images, which depends on their size too.
    """

    source: str
    commit: str
    lock: str
    data: str
    manifest: str
    shards: str

    def tags(self) -> dict[str, str]:
        """As MLflow tags."""
        return {
            "git.commit": self.commit,
            "dvc.lock": self.lock,
            "data.digest": self.data,
            "data.manifest": self.manifest,
            "data.shards": self.shards,
        }


def provenance(source: str, *, manifest: str, shards: str) -> Provenance:
    """Find out where the model of the project in the current folder comes from.

    Args:
        source: of the data, as in params.yaml.
        manifest: the manifest's digest.
        shards: the digest of the prepared images.
    """
    return Provenance(
        source=source,
        commit=_commit(),
        lock=hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.is_file() else UNKNOWN,
        data=_tracked(source) or manifest[:32],
        manifest=manifest,
        shards=shards,
    )


def person() -> str:
    """Who is at work here, as git or else the system knows them."""
    try:
        return _git("config", "user.name") or getpass.getuser()
    except (KeyError, OSError):  # in a container, a user without a name
        return UNKNOWN


def _commit() -> str:
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return os.environ.get(IMAGE_COMMIT, UNKNOWN)
    own = [f":!{path}" for path in (LOCK, ACCEPTED)]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *own)
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    """What git prints; empty when there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _tracked(source: str) -> str | None:
    """The digest that dvc.lock gives the data: the same for every stage that depends on them."""
    if not LOCK.is_file():
        return None
    stages = yaml.safe_load(LOCK.read_text(encoding="utf-8")).get("stages", {})
    dependencies = (each for stage in stages.values() for each in stage.get("deps", []))
    return next((each["md5"] for each in dependencies if each["path"] == source and "md5" in each), None)
