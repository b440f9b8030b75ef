from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow_models.console import FLOW_RUN
from flow_models.settings import CLUSTER_VARIABLE
from flows import stage
from flows.stage import StageError, ask, explain, run_stage


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A DVC project whose stages are small scripts."""
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    scripts = {
        "good": "print('one'); print('two')",
        "bad": "import sys; print('error: x.jpg: not an image; remove it', file=sys.stderr); sys.exit(2)",
        "slow": (
            "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); print('started'); "
            "time.sleep(60)"
        ),
    }
    for name, script in scripts.items():
        (tmp_path / f"{name}.py").write_text(script)
    stages = "".join(f"  {name}:\n    cmd: python {name}.py\n" for name in scripts)
    (tmp_path / "dvc.yaml").write_text(f"stages:\n{stages}")
    return tmp_path


def interrupt(line: str) -> None:
    if line == "started":
        raise KeyboardInterrupt


def is_gone(pid: int, *, within: float) -> bool:
    """Whether a process ends, and whoever inherited it has noticed."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_stage_runs_once_and_its_lines_are_passed_on(project: Path) -> None:
    lines: list[str] = []
    run_stage("good", project=project, force=False, hours=1, log=lines.append)
    assert lines.index("one") < lines.index("two")
    assert (project / "dvc.lock").is_file()


def test_a_stage_gets_the_address_of_the_cluster(project: Path) -> None:
    (project / "good.py").write_text(f"import os; print(os.environ['{CLUSTER_VARIABLE}'])")
    lines: list[str] = []
    run_stage("good", project=project, force=False, hours=1, log=lines.append, cluster="tcp://scheduler:1")
    assert "tcp://scheduler:1" in lines


def test_a_stage_that_refuses_its_input_fails_with_its_own_line(project: Path) -> None:
    with pytest.raises(StageError, match=r"^bad: x\.jpg: not an image; remove it$") as caught:
        run_stage("bad", project=project, force=False, hours=1, log=lambda _: None)
    assert not caught.value.worth_retrying


def test_an_interrupted_flow_leaves_no_stage_behind(project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage("slow", project=project, force=False, hours=1, log=interrupt)
    assert is_gone(int((project / "pid").read_text()), within=10)


def test_a_stage_that_takes_too_long_is_ended_and_named(project: Path) -> None:
    with pytest.raises(StageError, match=r"^slow: longer than 0\.001 h$") as caught:
        run_stage("slow", project=project, force=False, hours=0.001, log=lambda _: None)
    assert not caught.value.worth_retrying
    assert is_gone(int((project / "pid").read_text()), within=10)


def test_an_interrupted_stage_may_finish_saving(project: Path) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(1)\n"
        "    pathlib.Path('saved').touch()\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print('started')\n"
        "time.sleep(60)\n"
    )
    (project / "slow.py").write_text(script)
    with pytest.raises(KeyboardInterrupt):
        run_stage("slow", project=project, force=False, hours=1, log=interrupt)
    assert (project / "saved").exists()


def test_a_command_is_told_of_which_flow_run_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "a-flow-run")
    program = f"import os; print(os.environ['{FLOW_RUN}'])"
    assert stage._run("it", [sys.executable, "-c", program], project=tmp_path, hours=1, log=print, cluster=None) == (
        0,
        ["a-flow-run"],
    )


def test_a_command_answers_with_what_it_prints_as_json(tmp_path: Path) -> None:
    lines: list[str] = []
    assert ask("data", "demo", "data", project=tmp_path, hours=1, log=lines.append)["folder"] == "data"
    assert lines == []


@pytest.mark.parametrize(
    ("line", "is_answer"),
    [
        ('{"images": 3}', True),
        ('{"level": "INFO", "logger": "flow_models.data", "message": "3 images"}', False),
        ("{'a': dictionary}", False),
        ("3 images", False),
    ],
)
def test_a_log_in_json_is_not_taken_for_the_answer(line: str, is_answer: bool) -> None:
    assert stage._is_answer(line) is is_answer


def test_a_command_that_refuses_its_input_fails_with_its_own_line_and_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"^data manifest: params\.yaml: no such file; run in the project") as caught:
        ask("data", "manifest", project=tmp_path, hours=1, log=lambda _: None)
    assert not caught.value.worth_retrying


def test_a_command_whose_server_is_away_is_worth_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    for name, value in {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StageError, match=r"^status: look up the model flow-models: no answer from") as caught:
        ask("status", project=tmp_path, hours=1, log=lambda _: None)
    assert caught.value.worth_retrying
    assert caught.value.away


@pytest.mark.parametrize(("code", "away"), [(75, True), (1, False), (2, False)])
def test_a_training_that_says_that_a_host_was_away_may_resume(code: int, away: bool) -> None:
    said = ["error: host2 is lost; start all of them again", f"ERROR: failed to reproduce: exited with {code}"]
    assert explain("train@image_anomaly", said).away is away


CRASH = [
    "Running stage 'train':",
    "Traceback (most recent call last):",
    "ConnectionError: s3 is away",
    "",
    "ERROR: failed to reproduce 'train': failed to run: flow-models train, exited with 1",
]


@pytest.mark.parametrize(
    ("lines", "message", "worth_retrying"),
    [
        (CRASH, "train: ConnectionError: s3 is away (exit code 1)", True),
        (["ERROR: dvc.yaml is invalid"], "train: dvc.yaml is invalid", False),
        (["working"], "train: it was killed", False),
        ([], "train: it was killed", False),
        (
            [CRASH[0], "> flow-models train", CRASH[-1]],
            "train: failed to reproduce 'train': failed to run: flow-models train, exited with 1",
            True,
        ),
    ],
)
def test_the_reason_is_the_line_that_says_it(lines: list[str], message: str, worth_retrying: bool) -> None:
    error = explain("train", lines)
    assert (str(error), error.worth_retrying) == (message, worth_retrying)


@pytest.mark.parametrize(
    ("said", "worth_retrying"),
    [
        ('Could not connect to the endpoint URL: "http://127.0.0.1:9/images"', True),
        ('Read timeout on endpoint URL: "http://127.0.0.1:9/images"', True),
        ('Connection was closed before we received a valid response from endpoint URL: "http://127.0.0.1:9/i"', True),
        ("[Errno 16] Service Unavailable: An error occurred (503) when calling the HeadObject operation", True),
        ("[Errno 16] Slow down: An error occurred (SlowDown) when calling the ListObjectsV2 operation", True),
        ("[Errno 5] An error occurred (502) when calling the HeadObject operation: Bad Gateway", True),
        ("Forbidden: An error occurred (403) when calling the HeadObject operation: Forbidden", False),
        ("dependency 's3://images/digits' does not exist", False),
    ],
)
def test_a_bucket_that_dvc_cannot_reach_now_is_worth_another_attempt(said: str, worth_retrying: bool) -> None:
    error = explain("validate", [f"ERROR: failed to reproduce 'validate': {said}"])
    assert (str(error), error.worth_retrying) == (f"validate: failed to reproduce 'validate': {said}", worth_retrying)


def test_a_stage_that_refuses_its_input_is_not_tried_again_whatever_it_says_of_s3() -> None:
    lines = ["error: s3://images: An error occurred (503) when calling", "ERROR: failed to reproduce: exited with 2"]
    assert not explain("validate", lines).worth_retrying
