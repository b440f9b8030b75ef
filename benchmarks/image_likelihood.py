"""Bits per dimension of held-out images after the same minutes of training, beside normflows' Glow of the same size.

    python -m benchmarks.image_likelihood --data FOLDER --peers PYTHON [--pairs cats32] [--minutes 7] [--models FOLDER]

FOLDER is as for ``benchmarks.outliers``, and a model kept with ``--models`` serves there as well. One library after the
other has the machine, and of both the weights are kept that do best on the same held-out images. The peer's mode,
optimizer, rate, weight decay and size of a batch are chosen in trials that the minutes do not count.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.outlier_sets import PAIRS, Pair
from benchmarks.outliers import SETTINGS, add_training, levels_of, split, trained
from benchmarks.workers import ask_peer
from flow_models.evaluation.frozen import FrozenSet
from flow_models.evaluation.likelihood import dequantise
from flow_models.streams import use_streams


def main() -> None:
    """Train both on each set and print what they reach."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with torch and normflows; none: only ours")
    parser.add_argument("--pairs", nargs="+", choices=list(PAIRS), default=["cats32"], metavar="PAIR")
    add_training(parser, minutes=7.0)
    parser.add_argument("--trial-seconds", type=float, default=30.0, help="of each of the peer's trials")
    wanted = parser.parse_args()
    use_streams()
    for name in wanted.pairs:
        pair = PAIRS[name](wanted.data, limit=wanted.images, scored=wanted.scored)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            model, _ = trained(pair, (wanted.models or folder) / name, wanted)
            noise = dequantise(np.zeros_like(pair.inliers[:1]), seed=0)[0]
            bits = FrozenSet(x=pair.inliers, noise=noise).losses(model)
            size = sum(int(np.prod(each.shape)) for each in model.bijector.trainable_variables)
            print(f"{name:14} ours       {size:>8} parameters{'':56} {_with_error(bits)} bits/dim", flush=True)
            if wanted.peers:
                train, held_out, _ = split(pair.train)
                np.savez(folder / "images.npz", train=train, held_out=held_out, test=pair.inliers)
                print(f"{name:14} normflows  {_of_peer(wanted, folder / 'images.npz', pair)}", flush=True)


def _of_peer(wanted: argparse.Namespace, images: Path, pair: Pair) -> str:
    case = {
        "data": str(images),
        "levels": levels_of(pair.train.shape[1]),
        "steps": wanted.steps,
        "hidden": wanted.hidden,
        "flip": wanted.flip,
        "clip_norm": SETTINGS.clip_norm,
        "seconds": 60 * wanted.minutes,
        "trial_seconds": wanted.trial_seconds,
    }
    (result,) = ask_peer(wanted.peers, "normflows_training", case)
    made = f"{result['parameters']:>8} parameters, {result['steps']:>6} steps, {result['settings']:<42}"
    return f"{made} {_with_error(np.asarray(result['bits_per_dim']))} bits/dim"


def _with_error(bits: np.ndarray) -> str:
    return f"{bits.mean():.3f} ± {bits.std() / np.sqrt(len(bits)):.3f}"


if __name__ == "__main__":
    main()
