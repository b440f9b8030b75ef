"""Some nights of the pipeline on the servers of ``make stack``: ``python -m tests.system.nightly`` tells the story.

New images are trained on and the version is promoted; a poisoned set is stopped at validation; a challenger trained on
noise is stopped at the gate; and whoever asks for the champion meanwhile gets the same one.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State

from flow_models.data.demo import write_demo
from flow_models.data.png import encode_png
from tests.system.browser import browsing, find_browser, stacked
from tests.system.project import IMAGES, Project
from tests.system.site import BUCKET, MODEL, PREFIX, Site, second_worker, started_stack

# Enough training to tell digits from noise: 7.6 bits/dim with the first images, 7.3 with the new ones, 9.1 after noise.
SETTINGS = {
    "train": {"epochs": 30, "learning_rate": 0.002, "warmup_steps": 10, "checkpoint_minutes": 1.0},
    "register": {"gate": {"bits_per_dim": {"max": 8.3}}},
}
NEW_IMAGES = 30  # of each class
NIGHT_SECONDS = 900
RETRAINING = "retraining/retraining"
BY_HAND = ("deployment", "run", RETRAINING)
NEWS = ("event", "emit", "flow-models.new-data", "--resource-id", "flow-models.data")


class Nights:
    """A project whose images are in a bucket, and the deployment that retrains it.

    Args:
        site: with its images in ``data/`` yet.
        say: gets each line of the story.
    """

    def __init__(self, site: Site, say: Callable[[str], object]) -> None:
        self._site, self._say = site, say
        self._told: set[str] = set()

    def prepare(self) -> None:
        """Move the images to the bucket and make the deployments, with nights that are a minute long."""
        number = self._site.move_images()
        self._site.project.set(SETTINGS)
        deployments = self._site.project.folder / "prefect.yaml"
        deployments.write_text(deployments.read_text().replace("cron: 0 2 * * *", 'cron: "* * * * *"'))
        self._site.deploy()
        self._say(f"{number} images lie in s3://{BUCKET}/{PREFIX}; the deployments are made; two workers wait.")

    def night(self, *start: str) -> FlowRun:
        """One retraining, started by a command of Prefect, to its end."""
        began = time.monotonic()
        self._site.command(*start)
        return self._told_of(self._run_that(State.is_final), began)

    def scheduled_night(self) -> FlowRun:
        """One retraining that the schedule of the deployment starts, which is switched on until it has."""
        began = time.monotonic()
        schedule = str(self._site.prefect.read_deployment_by_name(RETRAINING).schedules[0].id)
        self._site.command("deployment", "schedule", "resume", RETRAINING, schedule)
        self._run_that(State.is_running)
        self._site.command("deployment", "schedule", "pause", RETRAINING, schedule)
        return self._told_of(self._run_that(State.is_final), began)

    def gate(self, version: int) -> tuple[str, list[str]]:
        """What the gate said of a version, and why."""
        tags = self._site.mlflow.get_model_version(MODEL, str(version)).tags
        return tags["gate"], tags["gate.reasons"].splitlines()

    def tell_versions(self) -> None:
        """Who is champion now, and what the gate said of the newest."""
        versions = self._site.versions()
        verdict, reasons = self.gate(versions["challenger"])
        self._say(f"  version {versions['challenger']}: gate {verdict}; the champion is version {versions['champion']}")
        for reason in reasons:
            self._say(f"    {reason}")

    def take_pictures(self, run: FlowRun, version: int, folder: Path) -> None:
        """Prefect's page of a run, and MLflow's of a version and of the run that it came from, as a browser shows them.

        Args:
            run: of the flow.
            version: that it registered.
            folder: gets nightly_prefect.png and nightly_mlflow.png.
        """
        if find_browser() is None:
            self._say("  no Chromium on this machine, so no pictures")
            return
        made = self._site.mlflow.get_model_version(MODEL, str(version))
        experiment = self._site.mlflow.get_run(str(made.run_id)).info.experiment_id
        mlflow, prefect = self._site.environment["MLFLOW_TRACKING_URI"], self._site.environment["PREFECT_API_URL"]
        inside = self._site.prefect.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id={"any_": [run.id]}), limit=1
        )
        runs = [f"{prefect.removesuffix('/api')}/runs/flow-run/{each.id}" for each in (run, *inside)]
        of_version = f"{mlflow}/#/models/{MODEL}/versions/{version}"
        of_run = f"{mlflow}/#/experiments/{experiment}/runs/{made.run_id}"
        with browsing() as browser:
            flows = [browser.picture(page, shows="Task runs", height=520) for page in runs]
            stacked(flows, folder / "nightly_prefect.png")
            registered = browser.picture(of_version, shows="champion", height=880, close="Close")
            tracked = browser.picture(of_run, shows="bits_per_dim", height=760, close="Close")
            stacked([registered, tracked], folder / "nightly_mlflow.png")

    @contextmanager
    def champions_seen(self) -> Iterator[set[int]]:
        """The versions that somebody gets who asks for the champion again and again while the block lasts."""
        seen: set[int] = set()
        ended = threading.Event()

        def ask() -> None:
            while not ended.wait(0.2):
                seen.add(int(self._site.mlflow.get_model_version_by_alias(MODEL, "champion").version))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield seen
        finally:
            ended.set()
            asking.join()

    def _run_that(self, has: Callable[[State[Any]], bool]) -> FlowRun:
        """Wait for a retraining that was not told of yet and whose state is like this."""
        deadline = time.monotonic() + NIGHT_SECONDS
        begun = FlowRunFilter(name={"like_": "retraining "})
        while time.monotonic() < deadline:
            for run in self._site.prefect.read_flow_runs(flow_run_filter=begun, limit=20):
                if str(run.id) not in self._told and run.state is not None and has(run.state):
                    return run
            time.sleep(0.5)
        raise TimeoutError(f"no such retraining within {NIGHT_SECONDS} s")

    def _told_of(self, run: FlowRun, began: float) -> FlowRun:
        assert run.state is not None
        self._told.add(str(run.id))
        self._say(f"  {run.name}")
        self._say(f"  {run.state.name} after {time.monotonic() - began:.0f} s: {run.state.message}")
        return run


def more_digits(project: Project) -> dict[str, bytes]:
    """Digits that the project does not have yet, by key."""
    everything = project.folder / "everything"
    write_demo(everything)
    more = {
        f"{name}/{image.name}": image.read_bytes()
        for name in ("train/digit0", "train/digit1")
        for image in sorted((everything / name).iterdir())[IMAGES[name] :][:NEW_IMAGES]
    }
    shutil.rmtree(everything)
    return more


def noise(number: int) -> bytes:
    """An image of random pixels."""
    return encode_png(np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8))


def blank(number: int) -> bytes:
    """An image of one grey, another for each number."""
    return encode_png(np.full((8, 8), number % 256, np.uint8))


def tell(site: Site, say: Callable[[str], object], *, pictures: Path | None = None) -> dict[str, Any]:
    """The story; what came of each night, for those who check, and pictures of the second one for those who look."""
    nights = Nights(site, say)
    nights.prepare()

    say("\nThe news of them. There is no champion yet.")
    first = nights.night(*NEWS)
    nights.tell_versions()

    more = more_digits(site.project)
    say(f"\n{len(more)} new images land in the bucket, and the schedule is switched on.")
    for key, content in more.items():
        site.put(key, content)
    second = nights.scheduled_night()
    nights.tell_versions()
    good = site.versions()
    if pictures is not None:
        nights.take_pictures(second, good["challenger"], pictures)

    with nights.champions_seen() as champions:
        training = site.keys("train")
        poison = [f"train/digit0/blank{number}.png" for number in range(len(training) // 9)]
        say(f"\n{len(poison)} blank images land: {len(poison) / (len(training) + len(poison)):.0%} of train/.")
        for number, key in enumerate(poison):
            site.put(key, blank(number))
        third = nights.night(*BY_HAND)
        for key in poison:
            site.remove(key)

        say(f"\nThey are removed; all {len(training)} images of train/ are overwritten with noise.")
        for number, key in enumerate(training):
            site.put(key, noise(number))
        fourth = nights.night(*BY_HAND)
        nights.tell_versions()
    say(f"\nWho asked for the champion during these two nights got version {sorted(champions)}.")
    return {
        "runs": [first, second, third, fourth],
        "good": good,
        "end": site.versions(),
        "champions": champions,
        "gate": nights.gate(site.versions()["challenger"]),
    }


def main() -> None:
    """From nothing: a project with the embedded digits, the servers, the nights."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.nightly", description=main.__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of Prefect's and MLflow's pages")
    pictures = parser.parse_args().pictures
    folder = Path(tempfile.mkdtemp())
    project = Project.create(folder / "project")
    try:
        with started_stack() as stack, second_worker(stack):
            tell(Site(stack, project), print, pictures=pictures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
