from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flow_models.registry.provenance import Provenance, person, provenance

LOCK = """
schema: '2.0'
stages:
  validate:
    cmd: flow-models data validate
    deps:
    - path: data
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "accepted.json").write_text("")
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def find(source: str = "data") -> Provenance:
    return provenance(source, manifest="5" * 64, shards="6" * 64)


def test_a_clean_clone_is_named_by_its_commit(repository: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert find().commit == head


def test_changed_files_show_but_not_those_that_every_run_writes(repository: Path) -> None:
    (repository / "dvc.lock").write_text(LOCK + "\n")
    (repository / "accepted.json").write_text("{}\n")
    assert not find().commit.endswith("-dirty")
    (repository / "params.yaml").write_text("seed: 1\n")
    assert find().commit.endswith("-dirty")


def test_data_that_dvc_tracks_have_its_digest(repository: Path) -> None:
    assert find().data == "0123456789abcdef0123456789abcdef.dir"


def test_other_data_are_named_by_their_manifest(repository: Path) -> None:
    assert find("s3://bucket/images").data == "5" * 32


def test_outside_a_repository_what_is_unknown_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (find().commit, find().lock) == ("unknown", "unknown")


def test_in_an_image_without_git_the_commit_is_the_one_it_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FLOW_MODELS_COMMIT", raising=False)
    assert find().commit == "unknown"
    monkeypatch.setenv("FLOW_MODELS_COMMIT", "0123456789ab")
    assert find().commit == "0123456789ab"


def test_a_person_is_who_git_or_else_the_system_says(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "config", "user.name", "Ada Lovelace"], check=True)
    assert person() == "Ada Lovelace"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("LOGNAME", "ada")
    assert person() == "ada"
