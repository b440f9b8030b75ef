"""The compose stack, which is not started here: its schema, its order, its secrets and its doors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[3] / "deploy"
COMPOSE = FOLDER / "compose.yaml"
CONTENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = CONTENT["services"]
ONCE = {"bucket", "deployments"}  # they do one thing and end


def test_it_is_a_compose_file_by_the_specification_s_schema() -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_server_says_how_it_is() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == ONCE


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs_to_be_ready_not_only_started(name: str) -> None:
    for needed, condition in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if needed in ONCE else "service_healthy"
        assert condition == {"condition": wanted}


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_this_machine_s_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_files_name_every_secret_and_hold_none() -> None:
    asked = set(re.findall(r"\${(\w+):\?", COMPOSE.read_text()))
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE))
    assert asked == set(example) == {"POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    assert set(example.values()) == {""}


def test_what_must_survive_lies_in_a_volume() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(CONTENT["volumes"]) == {"postgres", "s3", "dvc-cache", "checkpoints"}


def test_every_foreign_image_is_of_one_version() -> None:
    foreign = {service["image"] for service in SERVICES.values() if "build" not in service}
    assert foreign
    assert all(re.fullmatch(r"[\w/]+:\d+\.\d+[\w.-]*", image) for image in foreign)


def test_mlflow_answers_to_the_name_that_the_worker_calls_it_by() -> None:
    (hosts,) = [part for part in SERVICES["mlflow"]["command"] if part.startswith("--allowed-hosts=")]
    called = SERVICES["worker"]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
    assert called in hosts.partition("=")[2].split(",")
