"""Seconds of a training step of this project's Glow against pixels, depth, width and batch, with log-log slopes.

    python -m benchmarks.scaling [--mode bfloat16] [--vary pixels depth width batch]

One quantity varies at a time, from 32x32x3, 3 levels of 8 steps, 128 channels, batch 64. A slope of 1 is work in
proportion; below 1 there are costs that do not grow.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics

from benchmarks.workers import run_worker

BASE = {"size": 32, "levels": 3, "steps": 8, "hidden": 128, "batch": 64}
# What varies: its worker's option, the option's values, and the quantity that each stands for.
VARIED = {
    "pixels": ("size", [16, 32, 64], lambda size: size**2),
    "depth": ("steps", [2, 4, 8, 16], lambda steps: 3 * steps),
    "width": ("hidden", [32, 64, 128, 256], lambda hidden: hidden),
    "batch": ("batch", [16, 64, 256], lambda batch: batch),
}


def main() -> None:
    """Measure everything that was asked for and print one table a quantity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", default="bfloat16", help="of benchmarks.own_glow")
    parser.add_argument("--vary", nargs="+", choices=list(VARIED), default=list(VARIED))
    parser.add_argument("--seconds", type=float, default=5.0, help="of measuring a case")
    wanted = parser.parse_args()
    print(f"{BASE}, {wanted.mode}; load {os.getloadavg()[0]:.1f}")
    for name in wanted.vary:
        option, values, quantity = VARIED[name]
        points = []
        print(f"\n{name:>10}{'s/step':>10}{'images/s':>10}")
        for value in values:
            shape = {**BASE, option: value}
            done = run_worker("own_glow", task="train", mode=wanted.mode, seconds=wanted.seconds, **shape)
            if done is not None:
                points.append((quantity(value), shape["batch"] / done["best"]))
                print(f"{points[-1][0]:>10}{points[-1][1]:>10.4f}{done['best']:>10.1f}", flush=True)
        if len(points) > 1:
            print(f"     slope{_slope(points):>10.2f}")


def _slope(points: list[tuple[int, float]]) -> float:
    """Of the straight line of least squares through the logarithms."""
    x, y = ([math.log(each) for each in column] for column in zip(*points, strict=True))
    return statistics.linear_regression(x, y).slope


if __name__ == "__main__":
    main()
