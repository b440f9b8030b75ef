"""What the flows cost beside ``dvc repro`` alone on the same work, and what a change of champion by hand takes.

    python -m benchmarks.orchestration [--repeats 2] [--epochs 100]

Starts the servers of ``make stack`` with a worker, and a clone with the embedded data and the model of ``make demo``.
The five stages of image_anomaly run in it alternately by ``dvc repro`` and by ``prefect deployment run training``,
each time from the same new state and to a registered champion. Then one version is promoted and rolled back.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from flow_models.data.demo import write_demo
from tests.system.project import BINARIES, CLONE, Project
from tests.system.site import Site, started_stack

ALONE = ("dvc", "repro", "register@image_anomaly")
FLOW = ("prefect", "--no-prompt", "deployment", "run", "training/training", "--watch")
SECONDS, SHARE = 5.0, 0.02  # of the overhead: the goal
CHANGES = {"promote": 5.0, "rollback": 2.0}  # and of a change of champion


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=100, help="of the training (default %(default)s)")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended too
    with prepared(wanted.epochs) as (site, new):
        print(f"{wanted.epochs} epochs")
        seconds: dict[tuple[str, ...], list[float]] = {ALONE: [], FLOW: []}
        for repeat in range(wanted.repeats):
            for command, taken in seconds.items():
                taken.append(trained(site, new, command, model=f"{command[0]}-{repeat}"))
                print(f"{' '.join(command)}: {taken[-1]:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
        alone, flow = (statistics.median(taken) for taken in seconds.values())
        print(f"\n| dvc repro | flow | overhead | goal |\n|---:|---:|---:|---:|\n{_row(alone, flow)}\n")
        print("| command | seconds (median, largest) | goal |\n|---|---:|---:|")
        for command, taken in changes(site, model=f"{FLOW[0]}-0").items():
            print(f"| {command} | {statistics.median(taken):.2f}, {max(taken):.2f} | {CHANGES[command]:g} |")


@contextmanager
def prepared(epochs: int) -> Iterator[tuple[Site, Path]]:
    """The servers with a worker, the project that the flows are deployed from, and a copy of its new state."""
    with TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project")
        as_shipped = yaml.safe_load((CLONE / "params.yaml").read_text(encoding="utf-8"))
        project.set({name: as_shipped[name] for name in ("validation", "model", "train", "evaluate")})
        # The same work however fast the machine is, and done: epochs, not minutes.
        project.set({"train": {"epochs": epochs, "minutes": None, "patience": epochs, "precision": "float32"}})
        shutil.rmtree(project.folder / "data")
        write_demo(project.folder / "data")
        project.run("dvc", "add", "-q", "data")
        project.commit("the embedded data")
        new = Path(folder) / "new"
        shutil.copytree(project.folder, new)
        with started_stack() as stack:
            site = Site(stack, project)
            site.deploy()
            yield site, new


def trained(site: Site, new: Path, command: tuple[str, ...], *, model: str) -> float:
    """Seconds of a command that goes from a new state to a champion of a model that is new too."""
    shutil.rmtree(site.project.folder)
    shutil.copytree(new, site.project.folder)
    site.project.set({"register": {"name": model}})
    seconds = timed(site, *command)
    if "champion" not in site.versions(model):
        sys.exit(f"{' '.join(command)}: {model} has no champion; look at the gate's reasons in MLflow")
    return seconds


def changes(site: Site, *, model: str, repeats: int = 10) -> dict[str, list[float]]:
    """Seconds of each promotion of a second version, and of each return to the first."""
    site.mlflow.create_model_version(
        model, source=f"models:/{model}/1", tags={"gate": "passed"}, await_creation_for=None
    )
    taken: dict[str, list[float]] = {"promote": [], "rollback": []}
    for _ in range(repeats):
        taken["promote"].append(
            timed(site, "flow-models", "promote", "--version", "2", "--reason", "a trial", "--name", model)
        )
        taken["rollback"].append(timed(site, "flow-models", "rollback", "--name", model))
    return taken


def timed(site: Site, *command: str) -> float:
    """Seconds of a command in the project, to a good end."""
    path = os.pathsep.join([str(BINARIES), os.environ.get("PATH", os.defpath)])
    environment = {**site.environment, "PATH": path}
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603
        command, cwd=site.project.folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def _row(alone: float, flow: float) -> str:
    return f"| {alone:.1f} s | {flow:.1f} s | {flow - alone:.1f} s | {SECONDS + SHARE * alone:.1f} s |"


if __name__ == "__main__":
    main()
