"""The faults that ``make faults`` inflicts, and what has to be true after each."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import psutil
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun, Log

from deploy.stack import processes
from deploy.stack.services import Stack
from tests.integration.fault_proxy import FaultProxy, faulty
from tests.system.project import Project
from tests.system.site import Site

RUN_SECONDS = 1200
WORKERS = ("worker-1", "worker-2")
RETRAINING, TRAINING = "retraining/retraining", "training/training"
CHECKPOINTS = "checkpoints/image_anomaly/*/step-*"
REPORT, MODEL = "reports/image_anomaly", "models/image_anomaly"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        begins: the state of the project when the run starts: ``new``, or ``evaluated``.
        flow: the deployment that is run.
        runs: how many at once.
        strike: makes it go wrong in a started trial, and right again; returns what it saw that was not as it should be.
    """

    begins: str
    flow: str
    strike: Callable[[Trials, int, list[FlowRun]], list[str]]
    runs: int = 1


class Trials:
    """A site with two workers and an S3 server that can refuse, and what an undisturbed run left.

    Args:
        site: whose project is new, deployed.
        proxy: between the workers and S3.
        outage: seconds that a server is away.
    """

    def __init__(self, site: Site, proxy: FaultProxy, *, outage: float) -> None:
        self.site, self.proxy, self.outage = site, proxy, outage
        self._states = site.project.folder.with_name("states")
        self._deployments = {name: site.prefect.read_deployment_by_name(name).id for name in (RETRAINING, TRAINING)}
        self.weights = self._model = ""

    @classmethod
    @contextmanager
    def begin(cls, stack: Stack, project: Project, *, outage: float) -> Iterator[Trials]:
        """Deploy, run once undisturbed, and end the workers when the block is left."""
        site = Site(stack, project)
        site.move_images()
        project.commit("the images are in a bucket")
        site.deploy()
        site.command("automation", "create", "--from-file", "automations.yaml")
        processes.end("worker", stack.home)
        with faulty(site.environment["AWS_ENDPOINT_URL"], share=0) as proxy:
            trials = cls(site, proxy, outage=outage)
            try:
                trials.start_workers()
                trials.run_undisturbed()
                yield trials
            finally:
                for name in WORKERS:
                    processes.end(name, stack.home)

    def start_workers(self) -> None:
        """Those that do not run."""
        stack = self.site.stack
        for name in WORKERS:
            worker = stack.service("worker")
            environment = {**worker.environment, "AWS_ENDPOINT_URL": self.proxy.url}
            worker = replace(worker, name=name, environment=environment)
            processes.spawn(worker, stack.home)
            processes.wait(worker, stack.home)

    def run_undisturbed(self) -> None:
        """Keep the project as it is now, and as it is between its evaluation and its registration."""
        self._keep("new")
        self._start(RETRAINING, "undisturbed", number=1)
        wrong = self._complain()
        assert not wrong, wrong
        self.weights = self.site.project.json(f"{MODEL}/model.json")["sha256"]
        self._keep("evaluated")

    def inflict(self, name: str, number: int) -> list[str]:
        """One trial; what is not as it should be afterwards."""
        fault = FAULTS[name]
        self._return_to(fault.begins)
        runs = self._start(fault.flow, f"{name.replace(' ', '-')}-{number}", number=fault.runs)
        try:
            seen = fault.strike(self, number, runs)
        finally:
            self.proxy.refuse = lambda _: None
            for server in ("postgres", "mlflow"):
                self.bring_back(server)
            self.start_workers()
        return [*seen, *self._complain()]

    def take_away(self, server: str) -> None:
        """End a server of the stack."""
        processes.end(server, self.site.stack.home)

    def bring_back(self, server: str) -> None:
        """Start a server, if it does not run, and wait until it answers."""
        service = self.site.stack.service(server)
        processes.spawn(service, self.site.stack.home)
        processes.wait(service, self.site.stack.home)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something; what it is when it is there."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            with suppress(Exception):  # the server that is asked may be the one that is away
                if found := condition():
                    return found
            time.sleep(0.05)
        raise TimeoutError(f"{what}: not within {RUN_SECONDS} s")

    def works_at(self, stage: str) -> bool:
        """Whether a run of this trial is at it."""
        of_trial = FlowRunFilter(id={"any_": [run.id for run in self.runs()]})
        tasks = self.site.prefect.read_task_runs(flow_run_filter=of_trial, limit=50)
        return any(task.name.startswith(stage) and task.state and task.state.is_running() for task in tasks)

    def said(self, text: str) -> bool:
        """Whether it stands in the log of a run of this trial."""
        of_trial = LogFilter(flow_run_id={"any_": [run.id for run in self.runs()]})
        found: list[Log] = []
        while page := self.site.prefect.read_logs(of_trial, limit=200, offset=len(found)):
            found += page
        return any(text in log.message for log in found)

    def runs(self) -> list[FlowRun]:
        """Those of this trial, and the trainings inside them."""
        read = self.site.prefect.read_flow_runs
        started = read(flow_run_filter=FlowRunFilter(tags={"all_": [self._model]}))
        inside = FlowRunFilter(parent_flow_run_id={"any_": [run.id for run in started]})
        return [*started, *read(flow_run_filter=inside)]

    def _keep(self, state: str) -> None:
        shutil.copytree(self.site.project.folder, self._states / state)

    def _return_to(self, state: str) -> None:
        shutil.rmtree(self.site.project.folder)
        shutil.copytree(self._states / state, self.site.project.folder)

    def _start(self, flow: str, model: str, *, number: int) -> list[FlowRun]:
        """Runs of a deployment that register a model of this name."""
        self._model = model
        self.site.project.set({"register": {"name": model}})
        create = self.site.prefect.create_flow_run_from_deployment
        return [create(self._deployments[flow], tags=[model]) for _ in range(number)]

    def _complain(self) -> list[str]:
        """Wait for the end of the runs; what is not as after a run that nothing befell."""

        def ended() -> list[FlowRun]:
            found = self.runs()
            return found if all(run.state and run.state.is_final() for run in found) else []

        try:
            runs = self.until(ended, "the end of the runs")
        except TimeoutError:
            runs = self.runs()
        wrong = [
            f"{run.name} is {run.state.name}: {run.state.message}"
            for run in runs
            if run.state and not run.state.is_completed()
        ]
        return wrong or self._complain_of_version()

    def _complain_of_version(self) -> list[str]:
        """One version, champion, made in one MLflow run that holds every epoch, with the weights of the others."""
        store, model = self.site.mlflow, self._model
        numbers = [len(store.search_model_versions(f"name='{name}'")) for name in (model, f"{model}.promotions")]
        wrong = [] if numbers == [1, 1] else [f"{numbers[0]} versions and {numbers[1]} promotions of {model}"]
        version = store.get_model_version_by_alias(model, "champion")
        states = {name: version.tags.get(name) for name in ("gate", "registration")}
        if states != {"gate": "passed", "registration": "finished"}:
            wrong.append(f"the champion has {states}")
        run = store.get_run(version.run_id)
        sent = [each.step for each in store.get_metric_history(version.run_id, "train_bits_per_dim")]
        history = csv.DictReader((self.site.project.folder / MODEL / "history.csv").read_text().splitlines())
        if sorted(sent) != [int(row["step"]) for row in history]:
            wrong.append(f"MLflow has the epochs that ended at the steps {sorted(sent)}")
        states_of_runs = [each.info.status for each in store.search_runs([run.info.experiment_id])]
        registered_from = store.search_runs([run.info.experiment_id], f"params.`register.name` = '{model}'")
        if set(states_of_runs) != {"FINISHED"} or len(registered_from) != 1:
            wrong.append(f"MLflow's runs are {states_of_runs}, {len(registered_from)} of {model}")
        weights = {self.site.project.json(f"{MODEL}/model.json")["sha256"], self._weights_of(model)}
        if self.weights and weights != {self.weights}:
            wrong.append("other weights than undisturbed")
        return wrong

    def _weights_of(self, model: str) -> str:
        """The digest of the weights that MLflow keeps of the champion."""
        mlflow.set_tracking_uri(self.site.environment["MLFLOW_TRACKING_URI"])
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model}@champion"))
        try:
            (description,) = folder.rglob("model.json")
            return str(json.loads(description.read_text())["sha256"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def kill_worker(trials: Trials, number: int, runs: list[FlowRun]) -> list[str]:
    """Kill the worker in whose hands a training is, with all that it started; every second time the stage lives on."""
    folder = trials.site.project.folder
    trials.until(lambda: any(int(path.name[-9:]) >= 10 for path in folder.glob(CHECKPOINTS)), "ten steps of training")
    run = trials.site.prefect.read_flow_run(runs[0].id)
    assert run.infrastructure_pid, run
    flow = psutil.Process(int(run.infrastructure_pid.rpartition(":")[2]))
    worker = flow.parent()
    assert worker is not None, flow
    stage = flow.children(recursive=True)
    for process in [worker, flow, *(stage if number % 2 == 0 else [])]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    seen = [] if number % 2 or not (folder / MODEL / "model.json").exists() else ["it was killed too late"]
    trials.until(lambda: trials.site.prefect.read_flow_run(runs[0].id).run_count > 1, "another worker")
    if number % 2 == 0:
        trials.until(lambda: trials.said("resumed at step"), "the training's return to its checkpoint")
    return seen


def stop_mlflow(trials: Trials, number: int, runs: list[FlowRun]) -> list[str]:
    """MLflow goes away when a version is being registered, each time a little later."""
    trials.until(lambda: trials.works_at("register"), "the registration")
    time.sleep(3.0 * number)
    trials.take_away("mlflow")
    time.sleep(trials.outage)
    trials.bring_back("mlflow")
    return []


def restart_postgresql(trials: Trials, number: int, runs: list[FlowRun]) -> list[str]:
    """The database of both servers is restarted, each time in another stage."""
    stage = ("register", "validate", "train", "evaluate", "prepare")[number % 5]
    trials.until(lambda: trials.works_at(stage), stage)
    time.sleep(2.0 * (number % 3))
    trials.take_away("postgres")
    trials.bring_back("postgres")
    return []


def refuse_s3(trials: Trials, number: int, runs: list[FlowRun]) -> list[str]:
    """S3 answers 503 to everybody, in either stage that reads the images."""
    stage = ("validate", "prepare")[number % 2]
    trials.until(lambda: trials.works_at(stage), stage)
    trials.proxy.refuse = lambda _: (503, "SlowDown")
    time.sleep(trials.outage)
    return []


def start_two(trials: Trials, number: int, runs: list[FlowRun]) -> list[str]:
    """Nothing else: two retrainings at once, and a worker for each."""
    return []


FAULTS = {
    "worker killed": Fault("new", RETRAINING, kill_worker),
    "MLflow away": Fault("evaluated", TRAINING, stop_mlflow),
    "PostgreSQL restarted": Fault("evaluated", TRAINING, restart_postgresql),
    "S3 answers 503": Fault("new", TRAINING, refuse_s3),
    "two at once": Fault("new", RETRAINING, start_two, runs=2),
}
