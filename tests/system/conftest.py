from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.integration.s3_server import s3, s3_endpoint
from tests.system.project import Project

__all__ = ["s3", "s3_endpoint"]  # pytest finds its fixtures here

SYSTEM = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SYSTEM in item.path.parents:
            item.add_marker("system")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its first ``dvc repro register@image_anomaly``, committed; only to be read.

    It is made once for all of pytest's processes, of which each has a copy.
    """
    own = tmp_path_factory.mktemp("system")
    of_all = own.parent.parent if os.environ.get("PYTEST_XDIST_WORKER") else own
    made = of_all / "reproduced.made"
    with FileLock(of_all / "reproduced.lock"):
        if not made.exists():
            reproduce(of_all / "reproduced")
            made.touch()
        return Project(of_all / "reproduced").copy(own / "project", registry=True)


def reproduce(folder: Path) -> None:
    """Make it, anew if a process has failed at it."""
    shutil.rmtree(folder, ignore_errors=True)
    project = Project.create(folder)
    done = project.run("dvc", "repro", "register@image_anomaly")
    assert done.stages == [
        "validate",
        "prepare",
        *(f"{each}@image_anomaly" for each in ("train", "evaluate", "register")),
    ]
    project.commit("reproduced")


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Project:
    """The reproduced project without its registry, to be changed."""
    return project.copy(tmp_path / "copy")
