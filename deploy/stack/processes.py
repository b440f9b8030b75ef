"""Servers that outlive the command that started them, found again by their pid files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flow_models.errors import FlowModelsError

START_SECONDS = 180
GRACE_SECONDS = 40  # a worker gives the flow run that it stops 30


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server, and how to tell that it is ready.

    Attributes:
        name: of its pid file, its log and its folder.
        command: that runs it in the foreground.
        is_ready: asked until it says yes.
        environment: variables on top of ours.
        user: as whom it runs; None: as we do.
        ending: the signal that ends it in good order.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    ending: signal.Signals = signal.SIGTERM


def spawn(service: Service, home: Path) -> None:
    """Start a service in a session of its own, unless it runs already.

    Args:
        service: which.
        home: of the stack: gets NAME.pid, NAME.log and the folder NAME in which it runs.
    """
    if running(service.name, home):
        return
    folder = home / service.name
    folder.mkdir(parents=True, exist_ok=True)
    with (home / f"{service.name}.log").open("wb") as log, interruptible():
        process = subprocess.Popen(  # noqa: S603
            service.command,
            cwd=folder,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers are in its group, to be ended with it
            user=service.user,
        )
    record = {"pid": process.pid, "started": psutil.Process(process.pid).create_time(), "ending": int(service.ending)}
    _pid_file(service.name, home).write_text(json.dumps(record), encoding="utf-8")


@contextmanager
def interruptible() -> Iterator[None]:
    """What is started in the block gets SIGINT's usual effect.

    A shell makes its background jobs ignore SIGINT, and so does all that they start. A Prefect worker that is asked to
    end by SIGTERM sends itself a SIGINT: ignoring it, it would never end.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a new program does not inherit handlers, only ignoring
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def wait(service: Service, home: Path, *, within: float = START_SECONDS) -> None:
    """Return when a spawned service is ready.

    Raises:
        FlowModelsError: if it ended or is not ready in time, with the last line of its log.
    """
    deadline = time.monotonic() + within
    while not service.is_ready():
        alive = running(service.name, home)
        if not alive or time.monotonic() > deadline:
            state = f"not ready after {within:.0f} s" if alive else "ended"
            log = home / f"{service.name}.log"
            said = log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
            raise FlowModelsError(f"{service.name}: {state}: {last}; see {log}")
        time.sleep(0.2)


def running(name: str, home: Path) -> bool:
    """Whether the process that the pid file names is still that one, not a later one with its number."""
    record = _record(name, home)
    if record is None:
        return False
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(record["pid"]))
        same = abs(process.create_time() - float(record["started"])) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    return False


def end(name: str, home: Path) -> bool:
    """End a service and every process of its group, and forget it.

    Returns:
        Whether it was running.
    """
    record = _record(name, home)
    was_running = running(name, home)
    if record is not None and was_running:
        group = int(record["pid"])
        for ending in (signal.Signals(int(record["ending"])), signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(group, ending)
            if _wait_for_end(group):
                break
    _pid_file(name, home).unlink(missing_ok=True)
    return was_running


def _wait_for_end(group: int) -> bool:
    deadline = time.monotonic() + GRACE_SECONDS
    while members := _members(group):
        if time.monotonic() > deadline:
            return False
        psutil.wait_procs(members, timeout=0.2)
    return True


def _members(group: int) -> list[psutil.Process]:
    """The living processes of a group; a zombie has ended and only waits to be counted."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _pid_file(name: str, home: Path) -> Path:
    return home / f"{name}.pid"


def _record(name: str, home: Path) -> dict[str, float] | None:
    try:
        record: dict[str, float] = json.loads(_pid_file(name, home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return record
