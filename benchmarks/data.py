"""How fast images come from S3 into shards, beside plain boto3 and Pillow; and what a large manifest takes.

python -m benchmarks.data s3 FOLDER       a folder with train/ and val/, from the S3 of AWS_ENDPOINT_URL or a local one
python -m benchmarks.data input FOLDER    the same folder's shards in S3, as training reads them from the warm cache
python -m benchmarks.data rows 2000000    a synthetic manifest, validated
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from botocore.config import Config
from PIL import Image

from benchmarks.timing import best_seconds
from flow_models.data.describe import SCHEMA
from flow_models.settings import ValidationSettings

BUCKET = "images"
THREADS = 32
CHANGED = 10
SHARDS: dict[str, Any] = {"shape": (32, 32, 3), "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 128}
LENIENT = ValidationSettings(warn_only=["duplicates", "near_duplicates", "leakage", "near_leakage", "max_aspect"])


def main() -> None:
    """Run one of the three and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["s3", "input", "rows"])
    parser.add_argument("of", help="a folder, or a number of rows")
    parser.add_argument("--images", type=int, help="at most so many of the folder")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        if asked.what == "s3":
            result = from_s3(Path(asked.of), Path(folder), asked.images)
        elif asked.what == "input":
            images = Path(asked.of).absolute()
            with s3_server(Path(folder)), contextlib.chdir(folder):  # where the cache is
                result = training_input(images, Path(folder))
        else:
            result = rows(int(asked.of), Path(folder))
    print(json.dumps(result, indent=2))


def from_s3(images: Path, folder: Path, limit: int | None) -> dict[str, Any]:
    """Rates of the whole way, without what imports take in this process, but with what they take in others."""
    for needed in ("data.kept_pixels", "data.cluster", "data.manifest", "data.shards", "data.s3", "validation.images"):
        import_module(f"flow_models.{needed}")
    with s3_server(folder):
        keys = upload(images, limit)
        plain_before = wall_and_cpu(lambda: plain(keys))
        runs = {"first": wall_and_cpu(lambda: whole_way(folder / "one", None))}
        plainly = min(plain_before, wall_and_cpu(lambda: plain(keys)))
        runs["first_local"] = wall_and_cpu(lambda: whole_way(folder / "local", "local"))
        change(keys)
        runs["second"] = wall_and_cpu(lambda: whole_way(folder / "one", None))
    count = len(keys)
    return {
        "images": count,
        "images_per_second": {name: round(count / run[0]) for name, run in {"plain": plainly, **runs}.items()},
        "share_of_plain": {name: round(plainly[0] / runs[name][0], 3) for name in ("first", "first_local")},
        "share_of_plain_by_cpu": round(plainly[1] / runs["first"][1], 3),
        "second_run_share_of_first": round(runs["second"][0] / runs["first"][0], 3),
        "second_run_share_of_first_by_cpu": round(runs["second"][1] / runs["first"][1], 3),
        "cpu_seconds": {name: round(run[1], 1) for name, run in {"plain": plainly, **runs}.items()},
    }


def whole_way(folder: Path, cluster: str | None) -> None:
    """Manifest, validation and shards of the bucket; what an earlier run left in the folder is known."""
    from flow_models.data.cache import Cache
    from flow_models.data.cluster import open_workers
    from flow_models.data.kept_pixels import KeptPixels
    from flow_models.data.manifest import read_manifest, write_manifest
    from flow_models.data.shards import write_shards
    from flow_models.data.sources import open_source
    from flow_models.validation.images import validate

    manifest = folder / "manifest.parquet"
    kept = KeptPixels(Cache(folder / "cache", limit=10**10), SHARDS["shape"])
    source = open_source(f"s3://{BUCKET}", connections=THREADS)
    with open_workers(cluster) as workers:
        write_manifest(source, manifest, journals=folder / "journals", kept=kept, workers=workers)
        validate(manifest, LENIENT, docs=folder / "docs")
        write_shards(read_manifest(manifest), source, folder / "shards", **SHARDS, kept=kept, workers=workers)


def training_input(images: Path, folder: Path) -> dict[str, Any]:
    """Images a second from the shards, beside what the fastest training here takes: the network of params.yaml.

    Both in their best of a few tries, one after the other: training reads while it computes.
    """
    import tensorflow as tf

    from flow_models.data.manifest import build_manifest
    from flow_models.data.pipeline import training_batches
    from flow_models.data.s3 import S3Source
    from flow_models.data.shards import write_shards
    from flow_models.data.sources import open_source
    from flow_models.model import FlowModel
    from flow_models.settings import GlowSettings, TrainSettings, load_settings
    from flow_models.streams import streams, use_streams
    from flow_models.training.step import Stepper

    use_streams()
    settings = load_settings(Path(__file__).parents[1] / "params.yaml")
    assert isinstance(settings.model, GlowSettings)  # noqa: S101 - image_anomaly has no other
    source, size = open_source(str(images)), settings.train.batch_size
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    options = SHARDS | {"shape": settings.data.shape, "store": S3Source(f"s3://{BUCKET}")}
    write_shards(build_manifest(source, progress=False), source, folder / "shards", **options)
    counts: list[int] = []

    def epoch() -> None:
        batches = training_batches(folder / "shards", batch_size=size, seed=0, epoch=len(counts))
        counts.append(sum(len(batch) for batch in batches))

    read = best_seconds(epoch, seconds=5.0)
    network = settings.model.model_dump(exclude={"architecture"})
    model = FlowModel("glow", {**network, "image_shape": settings.data.shape})
    batch = tf.zeros((size, *settings.data.shape), tf.uint8)
    stepper, rate, seed = Stepper(model, TrainSettings(), seed=0, streams=streams()), tf.constant(1e-5), tf.constant(0)
    stepper.initialise(next(iter(training_batches(folder / "shards", batch_size=size, seed=0, epoch=0))))

    def train() -> None:
        stepper.step(batch, seed, rate)[0].numpy()

    step = best_seconds(train, seconds=5.0)
    return {
        "shape": settings.data.shape,
        "input_images_per_second": round(counts[0] / read),
        "training_images_per_second": round(size / step),
        "input_over_training": round(counts[0] / read / (size / step), 1),
    }


def rows(count: int, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of validating a synthetic manifest, in this process with all it imports."""
    subprocess.run([sys.executable, "-m", "benchmarks.data", "rows-only", str(count), str(folder)], check=True)  # noqa: S603
    from flow_models.validation.images import validate

    took = seconds(lambda: validate(folder / "manifest.parquet", LENIENT, docs=folder / "docs"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"rows": count, "seconds": round(took, 1), "peak_memory_gb": round(peak, 2)}


def synthetic(count: int, path: Path, *, group: int = 100_000) -> None:
    """A manifest of different images in a hundred classes."""
    random = np.random.default_rng(0)
    schema = SCHEMA.with_metadata({"source": "s3://synthetic"})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, group):
            number = np.arange(start, min(start + group, count))
            split = ["train" if each < 0.9 * count else "val" for each in number]
            class_ = [f"class{each * 100 // count:03d}" for each in number]
            columns: dict[str, Any] = {
                "key": [f"{s}/{c}/image-{n:010d}.jpg" for s, c, n in zip(split, class_, number, strict=True)],
                "split": split,
                "class": class_,
                "width": random.integers(64, 512, len(number)),
                "height": random.integers(64, 512, len(number)),
                "mode": ["RGB"] * len(number),
                "bytes": random.integers(4_000, 90_000, len(number)),
                "sha256": [random.bytes(32).hex() for _ in number],
                "phash": [random.bytes(32).hex() for _ in number],
                "mean": random.normal(120, 20, len(number)),
                "std": random.normal(50, 5, len(number)),
                "blank": np.zeros(len(number), bool),
                "version": pa.nulls(len(number), pa.string()),
                "error": pa.nulls(len(number), pa.string()),
            }
            writer.write_table(pa.table(columns, schema=schema))


def plain(keys: list[str]) -> None:
    """What one would write in ten lines: every object read and decoded, in threads."""
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))

    def read(key: str) -> None:
        Image.open(io.BytesIO(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())).load()

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(read, keys):
            pass


def upload(images: Path, limit: int | None) -> list[str]:
    """Put the images into a new bucket; of each class folder the same share."""
    paths = [path for path in sorted(images.glob("*/*/*")) if path.is_file()]
    if limit is not None:
        paths = paths[:: max(len(paths) // limit, 1)]
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    keys = [path.relative_to(images).as_posix() for path in paths]
    for key, path in zip(keys, paths, strict=True):
        client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    return keys


def change(keys: list[str]) -> None:
    """Turn some images upside down."""
    client = boto3.client("s3")
    for key in keys[:: len(keys) // CHANGED][:CHANGED]:
        image = Image.open(io.BytesIO(client.get_object(Bucket=BUCKET, Key=key)["Body"].read()))
        file = io.BytesIO()
        image.rotate(180).save(file, "PNG")
        client.put_object(Bucket=BUCKET, Key=key, Body=file.getvalue())


def seconds(work: Callable[[], object]) -> float:
    """On the wall."""
    return wall_and_cpu(work)[0]


def wall_and_cpu(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of this process and those that it ended: what a busy machine does not change as much."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """The S3 server of the environment, or else a local one in a process of its own."""
    if "AWS_ENDPOINT_URL" in os.environ:
        yield
        return
    port = 5999
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    address = f"http://127.0.0.1:{port}"
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }
    try:
        for _ in range(600):
            try:
                requests.get(f"{address}/moto-api/", timeout=1)
                break
            except requests.RequestException:
                time.sleep(0.1)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1] == "rows-only":
        synthetic(int(sys.argv[2]), Path(sys.argv[3]) / "manifest.parquet")
    else:
        main()
