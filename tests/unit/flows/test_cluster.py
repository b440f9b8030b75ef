from __future__ import annotations

import logging
import sys
from contextlib import nullcontext

import dask
import pytest

from flow_models.data.parallel import cores
from flows import tasks
from flows.cluster import running_cluster
from flows.pipeline import stages_of
from flows.stage import StageError


def test_the_stages_that_read_images_run_on_the_cluster_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "get_run_logger", logging.getLogger)
    monkeypatch.setattr(tasks, "running_cluster", lambda _: nullcontext("tcp://scheduler:1"))
    given: dict[str, str | None] = {}
    monkeypatch.setattr(tasks, "run_stage", lambda stage, *, cluster, **_: given.update({stage: cluster}))
    monkeypatch.setattr(tasks, "ask", lambda name, *_, cluster, **__: given.update({name: cluster}))
    stages = [*stages_of("image_anomaly"), *stages_of("inverse_kinematics")]
    for stage in stages:
        tasks.run.fn(stage, force=False, hours=1)
    for name in ("data", "drift"):
        tasks.command.fn(name, name)
    assert list(given) == [*stages, "data", "drift"]
    assert {name for name, cluster in given.items() if cluster} == {"validate", "prepare", "data"}


def test_local_is_one_worker_a_core_and_its_address_can_be_joined() -> None:
    from distributed import Client

    with running_cluster("local") as address:
        assert address is not None
        assert address.startswith("tcp://127.0.0.1:")
        with running_cluster(address) as joined, Client(joined, set_as_default=False) as client:
            assert joined == address
            assert list(client.nthreads().values()) == [1] * cores()
    with dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}):
        line = rf"data.cluster: {address}: no scheduler answers \(.*\); start it there"
        with pytest.raises(StageError, match=line) as caught, running_cluster(address):
            pass
    assert caught.value.worth_retrying


def test_without_a_cluster_there_is_no_address() -> None:
    with running_cluster(None) as address:
        assert address is None


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    line = r"data.cluster: local: needs the package prefect-dask; pip install 'flow-models\[cluster\]'"
    with pytest.raises(StageError, match=line), running_cluster("local"):
        pass
