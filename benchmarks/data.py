"""How fast images come from S3 into shards, beside plain boto3 and Pillow; and what a large manifest takes.

python benchmarks/data.py s3 FOLDER       a folder with train/ and val/, served by a local S3 server
python benchmarks/data.py rows 2000000    a synthetic manifest, validated
"""

from __future__ import annotations

import argparse
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

from flow_models.data.describe import SCHEMA
from flow_models.settings import ValidationSettings

BUCKET = "images"
THREADS = 32
CHANGED = 10
SHAPE = (32, 32, 3)
LENIENT = ValidationSettings(warn_only=["duplicates", "near_duplicates", "leakage", "near_leakage", "max_aspect"])


def main() -> None:
    """Run one of the two and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["s3", "rows"])
    parser.add_argument("of", help="a folder, or a number of rows")
    parser.add_argument("--images", type=int, help="at most so many of the folder")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        if asked.what == "s3":
            result = from_s3(Path(asked.of), Path(folder), asked.images)
        else:
            result = rows(int(asked.of), Path(folder))
    print(json.dumps(result, indent=2))


def from_s3(images: Path, folder: Path, limit: int | None) -> dict[str, Any]:
    """Rates of the whole way and of its parts, without the seconds that imports take."""
    from flow_models.data.cache import Cache
    from flow_models.data.manifest import read_manifest, write_manifest
    from flow_models.data.pipeline import training_batches
    from flow_models.data.shards import write_shards
    from flow_models.data.sources import open_source
    from flow_models.validation.images import validate

    with s3_server(folder):
        keys = upload(images, limit)
        cache = Cache(folder / "cache", limit=10**10)

        def ours() -> None:
            source = open_source(f"s3://{BUCKET}", connections=THREADS)
            write_manifest(source, folder / "manifest.parquet", journals=folder / "journals", cache=cache)
            validate(folder / "manifest.parquet", LENIENT, docs=folder / "docs")
            options = {"shape": SHAPE, "holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 128}
            write_shards(read_manifest(folder / "manifest.parquet"), source, folder / "shards", **options, cache=cache)

        plain_before = wall_and_cpu(lambda: plain(keys))
        first, first_cpu = wall_and_cpu(ours)
        plainly, plain_cpu = min(plain_before, wall_and_cpu(lambda: plain(keys)))
        change(keys)
        second, second_cpu = wall_and_cpu(ours)
    batches = list(training_batches(folder / "shards", batch_size=64, seed=0, epoch=0))  # reads once
    epoch = seconds(lambda: [None for _ in training_batches(folder / "shards", batch_size=64, seed=0, epoch=1)])
    count = len(keys)
    return {
        "images": count,
        "plain_images_per_second": round(count / plainly),
        "our_images_per_second": round(count / first),
        "share_of_plain": round(plainly / first, 3),
        "second_run_with_10_changed_seconds": round(second, 2),
        "share_of_first_run": round(second / first, 3),
        "cpu_seconds": {"plain": round(plain_cpu, 1), "first": round(first_cpu, 1), "second": round(second_cpu, 1)},
        "training_input_images_per_second": round(64 * len(batches) / epoch),
    }


def rows(count: int, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of validating a synthetic manifest, in this process with all it imports."""
    subprocess.run([sys.executable, __file__, "rows-only", str(count), str(folder)], check=True)  # noqa: S603
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
    """Seconds on the wall, and of this process on all cores: what a busy machine does not change as much."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """A local S3 server in a process of its own, and the environment that leads to it."""
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
