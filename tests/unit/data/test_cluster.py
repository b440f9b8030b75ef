from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from flow_models.data import manifest as module
from flow_models.data.cluster import Workers, open_workers
from flow_models.data.manifest import read_manifest, write_manifest
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError, UnavailableError
from tests.unit.data.folders import write_images

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def processes() -> Iterator[Workers]:
    with open_workers("local") as workers:
        yield workers


def doubled(numbers: Sequence[int]) -> list[int]:
    return [2 * number for number in numbers]


def ended(_: Sequence[int]) -> None:
    os._exit(1)


def refused(numbers: Sequence[int]) -> None:
    raise FlowModelsError(f"piece {numbers[0]}: refused")


def process(_: Sequence[int]) -> int:
    return os.getpid()


def test_results_come_in_the_order_of_the_pieces_and_from_other_processes(processes: Workers) -> None:
    pieces = [[number] * (number % 3) for number in range(20)]
    assert list(processes.map(doubled, pieces)) == list(Workers().map(doubled, pieces)) == [doubled(p) for p in pieces]
    assert os.getpid() not in set(processes.map(process, [[1], [2]]))
    assert set(Workers().map(process, [[1], [2]])) == {os.getpid()}


def test_few_pieces_are_asked_for_however_many_there_are(processes: Workers) -> None:
    asked: list[int] = []
    results = processes.map(doubled, ([asked.append(number) or number] for number in range(1000)))  # type: ignore[func-returns-value]
    next(results)
    assert len(asked) <= 2 * (os.cpu_count() or 1)
    results.close()


def test_the_line_of_an_error_comes_back_from_another_process(processes: Workers) -> None:
    with pytest.raises(FlowModelsError, match=r"^piece 7: refused$"):
        list(processes.map(refused, [[7]]))


def test_the_rows_are_those_of_one_process(processes: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    write_images(tmp_path / "data")
    (tmp_path / "data/val/cat/bad.jpg").write_text("<html>")
    monkeypatch.chdir(tmp_path)
    written = {}
    for name, workers in {"here": None, "there": processes}.items():
        summary = write_manifest(open_source("data"), Path(f"{name}.parquet"), journals=Path(name), workers=workers)
        again = write_manifest(open_source("data"), Path(f"{name}.parquet"), journals=Path(name), workers=workers)
        assert summary.digest == again.digest
        written[name] = summary.digest, Path(f"{name}.parquet").read_bytes()
    assert written["here"] == written["there"]
    assert len(read_manifest(Path("there.parquet"))) == 37


def test_a_process_that_dies_is_one_line() -> None:
    with (
        open_workers("local") as workers,
        pytest.raises(FlowModelsError, match=r"data.cluster: local: a process ended"),
    ):
        list(workers.map(ended, [[1]]))


def test_the_processes_of_a_killed_run_end(tmp_path: Path) -> None:
    program = (
        "from flow_models.data.cluster import open_workers\nfrom tests.unit.data.test_cluster import process\n"
        "if __name__ == '__main__':\n"
        "    with open_workers('local') as workers:\n"
        "        print(*workers.map(process, [[1], [2]]), flush=True)\n        input()\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}  # where `tests` is
    run = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert pids
    assert all(psutil.pid_exists(pid) for pid in pids)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_models.data.cluster._SECONDS", 0.2)
    with (
        pytest.raises(UnavailableError, match=r"data.cluster: tcp://127.0.0.1:1: no scheduler answers") as caught,
        open_workers("tcp://127.0.0.1:1"),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(FlowModelsError, match=r"needs the package distributed; pip install 'flow-models\[cluster\]'"):
        open_workers("tcp://127.0.0.1:1").__enter__()
