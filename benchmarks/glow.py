"""Glow in this project and in its peers: images a second in training, log_prob and sampling, in one table.

    python -m benchmarks.glow --peers PYTHON [--batches 16 64 256] [--tasks train log_prob sample]

PYTHON is an interpreter that has torch, normflows and FrEIA, which are not in this project's
environment. Every cell is a process of its own, one after the other; each library stands with its best mode.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from benchmarks.timing import best_seconds
from benchmarks.workers import run_worker

MODES = {
    "own_glow": ["float32", "bfloat16"],
    "peers.tfb_glow": ["graph", "xla"],
    "peers.normflows_glow": ["float32", "channels_last", "bfloat16", "compile", "compile_bfloat16"],
    "peers.freia_glow": ["float32", "channels_last", "bfloat16"],
}
IN_TORCH = {"peers.normflows_glow", "peers.freia_glow"}
# Multiply-adds of the convolutions of one image's training step, for 3 levels, 8 steps, 128 channels at 32x32x3.
GFLOP_PER_IMAGE = 0.71


@dataclass(frozen=True)
class Cell:
    """One library, in one mode, at one task and batch size."""

    worker: str
    mode: str
    task: str
    batch: int
    images_per_second: float
    parameters: int


def main() -> None:
    """Measure everything that was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python with torch, normflows and FrEIA; without it only TFP is a peer")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--tasks", nargs="+", default=["train", "log_prob", "sample"])
    parser.add_argument("--seconds", type=float, default=8.0)
    wanted = parser.parse_args()
    peak = {dtype.name: _matmul_gflops(dtype) for dtype in (tf.float32, tf.bfloat16)}
    print(f"matrix product of 2048 x 2048: {peak['float32']:.0f} float32, {peak['bfloat16']:.0f} bfloat16 GFLOP/s")
    for task in wanted.tasks:
        for batch in wanted.batches:
            cells = list(_measure(task, batch, wanted.peers, wanted.seconds))
            _print(task, batch, cells, peak["bfloat16"])


def _measure(task: str, batch: int, peers: str | None, seconds: float) -> Iterator[Cell]:
    for worker, modes in MODES.items():
        python = peers if worker in IN_TORCH else sys.executable
        if python is None:
            continue
        for mode in modes:
            done = run_worker(worker, python=python, task=task, batch=batch, mode=mode, seconds=seconds)
            if done is not None:
                yield Cell(worker, mode, task, batch, done["best"], int(done["parameters"]))


def _print(task: str, batch: int, cells: list[Cell], peak: float) -> None:
    own = max((cell for cell in cells if cell.worker == "own_glow"), key=lambda cell: cell.images_per_second)
    peers = [cell for cell in cells if cell.worker != "own_glow"]
    print(f"\n{task}, batch {batch}: images a second")
    for cell in sorted(cells, key=lambda cell: -cell.images_per_second):
        name = f"{cell.worker.removeprefix('peers.')} {cell.mode}"
        print(f"  {name:<34}{cell.images_per_second:8.1f}   {cell.parameters:>9,} parameters")
    if peers:
        best = max(peers, key=lambda cell: cell.images_per_second)
        print(f"  best own / best peer: {own.images_per_second / best.images_per_second:.2f}")
    if task == "train":
        print(f"  share of the bfloat16 matrix-product rate: {own.images_per_second * GFLOP_PER_IMAGE / peak:.0%}")


def _matmul_gflops(dtype: tf.DType, *, size: int = 2048) -> float:
    a = tf.ones([size, size], dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(a @ a, tf.float32)))
    return 2 * size**3 / best_seconds(lambda: product().numpy()) / 1e9


if __name__ == "__main__":
    main()
