"""Run the pipeline with an experiment's settings beside this clone, on data of your own where it learns from images.

    python -m experiments.run animal_faces --data FOLDER [--s3] [--set train.minutes=5]
    python -m experiments.run inverse_kinematics [--set applications.inverse_kinematics.seed=1]

The experiment is the project as it is committed, cloned into ``experiments/runs/NAME``, with
``params.yaml`` changed by ``experiments/NAME.yaml``. Run again, it goes on where it stopped. With
``--s3`` the data first go into a local S3 server, and the pipeline reads them from there.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flow_models.settings import overlaid
from flows.pipeline import OF_IMAGES, stages_of

PROJECT = Path(__file__).resolve().parents[1]
EXPERIMENTS = PROJECT / "experiments"
BUCKET = "flow-models"


def main() -> int:
    """Prepare the clone, run ``dvc repro`` in it, and print what came out."""
    arguments = _arguments()
    clone = EXPERIMENTS / "runs" / arguments.name
    _clone(clone)
    with _source(arguments) as (source, aws):
        application = _write_params(clone, arguments, source)
        target = stages_of(application)[-1]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        for command in (f"dvc repro {target}", f"flow-models report --application {application}"):
            done = subprocess.run(command.split(), cwd=clone, env={**os.environ, **aws, "PATH": path}, check=False)  # noqa: S603
            if done.returncode:
                return done.returncode
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    parser.add_argument("name", choices=known)
    parser.add_argument("--data", type=lambda text: Path(text).resolve(), help="of images: train/<class>/, val/…")
    parser.add_argument("--s3", action="store_true", help="serve the data from a local S3 server")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, such as seed=1")
    arguments = parser.parse_args()
    if arguments.data is None and _read_yaml(EXPERIMENTS / f"{arguments.name}.yaml").get("application") in OF_IMAGES:
        parser.error(f"{arguments.name} learns from images: name their folder with --data")
    return arguments


def _clone(clone: Path) -> None:
    """The project as it is committed; what an earlier run left there stays."""
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone)], check=True)  # noqa: S603, S607
    for command in ("fetch --quiet origin HEAD", "reset --quiet --hard FETCH_HEAD"):
        subprocess.run(["git", *command.split()], cwd=clone, check=True)  # noqa: S603, S607


def _write_params(clone: Path, arguments: argparse.Namespace, source: str | None) -> str:
    """The project's params.yaml, changed by the experiment and by the command line; gives the application."""
    params = _read_yaml(PROJECT / "params.yaml")
    changes = [_read_yaml(EXPERIMENTS / f"{arguments.name}.yaml")]
    if source is not None:
        changes.append({"data": {"source": source}})
    for setting in arguments.set:
        key, _, value = setting.partition("=")
        changes.append(_nested(key.split("."), yaml.safe_load(value)))
    for change in changes:
        params = overlaid(params, change)
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return str(params["application"])


def _read_yaml(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    return {keys[0]: _nested(keys[1:], value) if keys[1:] else value}


@contextmanager
def _source(arguments: argparse.Namespace) -> Iterator[tuple[str | None, dict[str, str]]]:
    """What ``data.source`` will be, if not what the experiment says, and the environment that it needs."""
    if not arguments.s3:
        yield str(arguments.data) if arguments.data else None, {}
        return
    with _local_s3(arguments.data, arguments.name) as served:
        yield served


@contextmanager
def _local_s3(folder: Path, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A local S3 server with the folder's files; yields the address and the environment that leads there."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it writes a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(aws)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)

    def upload(path: Path) -> None:
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")

    try:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(upload, files))
        print(f"{len(files)} files of {folder} in s3://{BUCKET}/{prefix}", flush=True)  # noqa: T201
        yield f"s3://{BUCKET}/{prefix}", aws
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
