"""What holds for all tests."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.integration.prefect_server import prefect_server, prefect_worker

__all__ = ["prefect_server", "prefect_worker"]  # pytest finds its fixtures here

PREFECT = "prefect_server"

# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes share the cores: OpenMP's threads would spin while they wait for one another, half as much again.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


class OnePrefect(LoadFileScheduling):
    """A file's tests go to one process, and all with Prefect to the same: its server starts slowly and never rests."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return PREFECT if _has_prefect(self.config.rootpath / file) else file


@cache
def _has_prefect(file: Path) -> bool:
    return PREFECT in file.read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OnePrefect:
    return OnePrefect(config, log)
