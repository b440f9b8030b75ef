"""Servers by pid file: what is started, what is ended, and above all what is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.stack import processes
from deploy.stack.processes import Service
from flow_models.errors import FlowModelsError

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w'); time.sleep(60)"
PARENT = "import subprocess, time; subprocess.Popen(['sleep', '600']); open('has-child', 'w'); time.sleep(60)"

POLITE = """
import time
try:
    open("ready", "w")
    time.sleep(60)
except KeyboardInterrupt:
    open("interrupted", "w")
"""


def service(program: str, is_ready: Callable[[], bool] = lambda: True) -> Service:
    return Service(name="server", command=[sys.executable, "-c", program], is_ready=is_ready)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.end("server", tmp_path)


def pid(home: Path) -> int:
    return json.loads((home / "server.pid").read_text())["pid"]


def test_it_is_ended_with_the_processes_that_it_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 5)
    parent = service(PARENT, is_ready=(home / "server/has-child").exists)
    processes.spawn(parent, home)
    processes.wait(parent, home)
    (child,) = psutil.Process(pid(home)).children()
    assert processes.running("server", home)

    assert processes.end("server", home)

    try:
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    finally:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    assert not processes.running("server", home)
    assert not processes.end("server", home)


def test_one_that_does_not_listen_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.3)
    stubborn = service(STUBBORN, is_ready=(home / "server/deaf").exists)
    processes.spawn(stubborn, home)
    processes.wait(stubborn, home)
    assert processes.end("server", home)
    assert not processes.running("server", home)


def test_one_that_is_started_by_a_job_in_the_background_which_ignores_interrupts_ends_by_one(home: Path) -> None:
    polite = replace(service(POLITE, is_ready=(home / "server/ready").exists), ending=signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        processes.spawn(polite, home)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    processes.wait(polite, home)
    assert processes.end("server", home)
    assert (home / "server/interrupted").exists()


def test_a_later_process_with_the_same_number_is_left_alone(home: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        started = psutil.Process(stranger.pid).create_time() - 3600
        record = {"pid": stranger.pid, "started": started, "ending": 15}
        (home / "server.pid").write_text(json.dumps(record))

        assert not processes.running("server", home)
        assert not processes.end("server", home)

        assert stranger.poll() is None
        assert not (home / "server.pid").exists()
        stranger.kill()


def test_one_that_runs_is_not_started_twice(home: Path) -> None:
    processes.spawn(service("import time; time.sleep(60)"), home)
    first = pid(home)
    processes.spawn(service("import time; time.sleep(60)"), home)
    assert pid(home) == first


def test_one_that_died_is_started_again(home: Path) -> None:
    processes.spawn(service("pass"), home)
    first = pid(home)
    os.waitpid(first, 0)
    processes.spawn(service("import time; time.sleep(60)"), home)
    assert pid(home) != first
    assert processes.running("server", home)


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("import sys; sys.exit('no such database')", r"^server: ended: no such database; see .*server\.log$"),
        ("import time; time.sleep(60)", r"^server: not ready after 1 s: it said nothing; see .*server\.log$"),
    ],
)
def test_one_that_does_not_get_ready_is_explained_by_its_last_line(home: Path, program: str, line: str) -> None:
    never = service(program, is_ready=lambda: False)
    processes.spawn(never, home)
    with pytest.raises(FlowModelsError, match=line):
        processes.wait(never, home, within=1)
