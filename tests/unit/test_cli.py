from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flow_models.cli import show

PROJECT = Path(__file__).parents[2]


def flow_models(*arguments: str, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flow_models", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command", ["", "data", "data validate", "train", "evaluate", "register", "status", "report", "score"]
)
def test_help_explains_a_command_without_loading_anything_heavy(command: str) -> None:
    program = (
        "import sys; sys.argv = ['flow-models', *sys.argv[1:]]\n"
        "import atexit; atexit.register(lambda: print(sorted({'tensorflow', 'pandas', 'mlflow'} & set(sys.modules))))\n"
        "from flow_models.cli import main; main()"
    )
    arguments = [*command.split(), "--help"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train: {epoch: 3}\n")
    done = flow_models("train", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: params.yaml: train.epoch: unknown key; did you mean epochs?\n"
    assert done.stdout == ""


def test_training_without_shards_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    done = flow_models("train", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: prepared/shards/index.json: no such file; run `flow-models data shard` first\n"


def test_a_server_that_is_away_is_exit_code_75_so_that_others_try_again(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("data: {source: s3://bucket/prefix}\n")
    away = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_MAX_ATTEMPTS": "1",
    }
    done = flow_models("data", "manifest", cwd=tmp_path, **away)
    assert done.returncode == 75
    assert done.stderr.startswith("error: s3://bucket/prefix: cannot be reached")


def test_the_registry_is_not_made_by_asking_for_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    done = flow_models("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "no mlflow.db here" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_an_unknown_application_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    done = flow_models("train", "--application", "weather", cwd=tmp_path)
    assert done.returncode == 2
    assert "application" in done.stderr
    assert "weather" in done.stderr


def test_results_are_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    show({"version": 3, "auroc": {"ball": {"typicality": 0.9}}}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"version": 3, "auroc": {"ball": {"typicality": 0.9}}}


def test_results_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    show({"bits": 3.14159, "auroc": {"a": {"x": 0.5, "y": 1.0}}, "why": ["first reason", "second one"]}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["bits", "3.142"]
    assert lines[1].split() == ["auroc", "x", "y"]
    assert lines[2].split() == ["a", "0.5", "1"]
    assert lines[3].split(maxsplit=1) == ["why", "first reason"]
    assert lines[4].strip() == "second one"
