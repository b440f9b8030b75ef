"""How well each score tells outliers, and whether the p-values keep what they promise.

    python -m benchmarks.outliers pairs --data FOLDER [--minutes 20] [--models FOLDER] [--pairs cats32 mnist …]
    python -m benchmarks.outliers p-values --data FOLDER [--minutes 20] [--models FOLDER] [--pairs …] [--splits 20]

    python -m benchmarks.outliers pairs --development --minutes 1 --hidden 48 --steps 6

FOLDER has ``animal-faces/``, ``mnist.npz`` and ``fashion_mnist.npz``. A Glow is trained a pair, for so many minutes,
unless ``--models`` has it from an earlier run. The first table has AUROC and FPR at 95 % TPR of every score against the
pair and six controls; the second the false-positive rates and false discoveries over random splits of fresh inliers.
With ``--development``, on the images that the default score was chosen on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import yaml
from numpy.typing import NDArray
from scipy.stats import betabinom

from benchmarks.development_sets import DEVELOPMENT
from benchmarks.outlier_sets import PAIRS, Images, Pair, controls
from flow_models import training
from flow_models.applications.image_scores import examine_all
from flow_models.data.augmentation import augment
from flow_models.data.lanes import WHOLE, Share
from flow_models.evaluation import outliers
from flow_models.evaluation.compressors import CODECS, compressed_bits
from flow_models.evaluation.conformal import benjamini_hochberg
from flow_models.evaluation.likelihood import bits_per_dim
from flow_models.evaluation.outlier_score import DEFAULT, SCORES, OutlierScore
from flow_models.model import FlowModel
from flow_models.settings import AugmentationSettings, TrainSettings
from flow_models.streams import use_streams
from flow_models.training.precision import choose_compute

Statistics = dict[str, NDArray[np.float64]]
HELD_OUT = 0.1
# Between what did best in short and in long trials on held-out cats; docs/image_anomaly.md has them.
SETTINGS = TrainSettings(optimizer="muon", learning_rate=0.006, weight_decay=0.5, batch_size=32)
SCORED_AT_ONCE = 256
LEVELS = (0.01, 0.05, 0.1)


def main() -> None:
    """Train what is not there, score, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["pairs", "p-values"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--pairs", nargs="+", choices=list(PAIRS), default=list(PAIRS), metavar="PAIR")
    parser.add_argument("--splits", type=int, default=20, help="of fresh inliers, to count false alarms in")
    add_training(parser, minutes=20.0)
    wanted = parser.parse_args()
    use_streams()
    if not (wanted.development or wanted.data):
        parser.error("name the folder of the images with --data, or ask for --development")
    sets = DEVELOPMENT if wanted.development else {name: partial(PAIRS[name], wanted.data) for name in wanted.pairs}
    tables = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, load in sets.items():
            pair = load(limit=wanted.images, scored=wanted.scored)
            model, held_out = trained(pair, (wanted.models or Path(temporary)) / name, wanted)
            if wanted.task == "pairs":
                tables.append(detection(name, model, pair, held_out))
            else:
                false_positives(name, model, pair, splits=wanted.splits)
    if tables:
        _print_means(pd.concat(tables))


def add_training(parser: argparse.ArgumentParser, *, minutes: float) -> None:
    """The options of ``trained``, and how many images there are."""
    parser.add_argument("--models", type=Path, help="keep the trained models here, and use those that are there")
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--train", type=yaml.safe_load, default={}, help="other settings, as YAML: {batch_size: 64}")
    parser.add_argument("--flip", action="store_true", help="mirror every second image: mirrored ones are inliers then")
    parser.add_argument("--images", type=int, default=10**6, help="to train on, at most")
    parser.add_argument("--scored", type=int, default=2000, help="of each set, at most")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--noise", type=int, default=32, help="channels of the network that shapes noise; 0: uniform")


def trained(pair: Pair, folder: Path, wanted: argparse.Namespace) -> tuple[FlowModel, tuple[Images, Images]]:
    """The model and its held-out images in halves: for stopping and fitting, and for calibration."""
    rest, fitting, calibrating = split(pair.train)
    if not (folder / "model.json").exists():
        options = {"image_shape": rest.shape[1:], "levels": levels_of(rest.shape[1]), "steps": wanted.steps}
        limits = {"minutes": wanted.minutes, "epochs": 10_000, "patience": 10_000}
        settings = TrainSettings.model_validate({**SETTINGS.model_dump(), **limits, **wanted.train})
        checkpoints = folder.with_name(f"{folder.name}-checkpoints")
        compute = choose_compute(settings, "glow", steps=settings.epochs, run=checkpoints)
        options |= {"hidden_channels": wanted.hidden, "noise_channels": wanted.noise}
        model = FlowModel("glow", options, compute_dtype=compute.dtype)
        size = settings.batch_size
        per_epoch, augmentation = len(rest) // size, AugmentationSettings(flip=wanted.flip)

        def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
            own = np.random.default_rng([1, epoch]).permutation(len(rest))[: per_epoch * size].reshape(-1, size)
            for step in range(skip, per_epoch):
                batch = tf.constant(rest[own[step, share.rows(size)]])
                yield augment(batch, augmentation, seed=tf.constant([epoch, step]))

        data = training.TrainingData(batches, per_epoch, fitting)
        outcome = training.train(model, data, settings, seed=0, folder=folder, checkpoints=checkpoints, compute=compute)
        took, reached = f"{outcome.steps} steps in {outcome.seconds / 60:.1f} minutes", f"{outcome.holdout:.3f}"
        print(f"{folder.name}: {took}, {reached} bits/dim held out", flush=True)
    return FlowModel.load(folder), (fitting, calibrating)


def split(images: Images) -> tuple[Images, Images, Images]:
    """What is learned, and what is held out in halves."""
    order = np.random.default_rng(0).permutation(len(images))
    held_out = int(HELD_OUT * len(images))
    fitting, calibrating = np.array_split(order[:held_out], 2)
    return images[order[held_out:]], images[fitting], images[calibrating]


def levels_of(side: int) -> int:
    """Of a Glow for images of so many pixels a side."""
    return 3 if side >= 32 else 2  # noqa: PLR2004 - 28 halves twice


def detection(name: str, model: FlowModel, pair: Pair, held_out: tuple[Images, Images]) -> pd.DataFrame:
    """AUROC and FPR at 95 % TPR by score, a row an outlier set; printed, and given for the means."""
    fitted = OutlierScore.fit(*(statistics(model, each) for each in held_out), noise_seed=0)
    sets = {"inliers": pair.inliers, **pair.outliers, **controls(pair.inliers)}
    measured = {each: statistics(model, images) for each, images in sets.items()}
    scores = {each: fitted.scores(values) | _by_codec(sets[each], values) for each, values in measured.items()}
    bits = bits_per_dim(measured["inliers"]["log_prob"], model.dimensions)
    print(f"\n{name}: {bits.mean():.3f} bits/dim on {len(bits)} fresh inliers")
    own = scores.pop("inliers")
    rows = [
        (name, each, score, outliers.auroc(own[score], value), outliers.fpr_at_95_tpr(own[score], value))
        for each, values in scores.items()
        for score, value in values.items()
    ]
    table = pd.DataFrame(rows, columns=["pair", "set", "score", "auroc", "fpr_at_95_tpr"])
    _print(table[table["score"].isin(SCORES)])
    return table


def false_positives(name: str, model: FlowModel, pair: Pair, *, splits: int) -> None:
    """Over random thirds of fresh inliers: fit, calibrate, test.

    Of m tests against n calibrating images, the false alarms at α are beta-binomial, with ``a = ⌊α (n + 1)⌋`` and
    ``b = n + 1 - a`` (Vovk 2012, proposition 2a): the band is its central 95 %.
    """
    inliers = statistics(model, pair.inliers)
    other = statistics(model, next(iter(pair.outliers.values())))
    rates: dict[float, list[float]] = {level: [] for level in LEVELS}
    inside, discoveries = dict.fromkeys(LEVELS, 0), {level: [] for level in LEVELS}
    for seed in range(splits):
        fit, calibrate, test = np.array_split(np.random.default_rng(seed).permutation(len(pair.inliers)), 3)
        fitted = OutlierScore.fit(_at(inliers, fit), _at(inliers, calibrate), noise_seed=0)
        p = fitted.p_values(_at(inliers, test))
        mixed = np.concatenate([p, fitted.p_values(other)[: len(test) // 9]])  # a tenth of the batch
        for level in LEVELS:
            alarms, a = int((p <= level).sum()), int(level * (len(calibrate) + 1) + 1e-9)
            rates[level].append(alarms / len(test))
            low, high = betabinom.interval(0.95, len(test), a, len(calibrate) + 1 - a) if a else (0, 0)
            inside[level] += low <= alarms <= high
            found = benjamini_hochberg(mixed, level=level)
            discoveries[level].append((found[: len(p)].sum() / max(found.sum(), 1), found[len(p) :].mean()))
    smallest = 1 / (len(calibrate) + 1)
    print(f"\n{name}: {splits} splits of {len(pair.inliers)} fresh inliers; smallest p-value {smallest:.4f}")
    print("  level   false alarms   splits inside the 95 % band   false discoveries   outliers found")
    for level in LEVELS:
        false, power = np.mean(discoveries[level], axis=0)
        print(f"  {level:<7} {np.mean(rates[level]):12.4f} {inside[level]:21d}/{splits} {false:25.4f} {power:16.3f}")


def statistics(model: FlowModel, images: Images) -> Statistics:
    """What scores are made of, each ``(n,)``."""
    return examine_all(model, images, noise_seed=0, batch_size=SCORED_AT_ONCE, title="examine")


def _by_codec(images: Images, values: Statistics) -> dict[str, NDArray[np.float64]]:
    """Size alone, and input complexity, with every codec."""
    bits = {codec: compressed_bits(images, codec=codec) for codec in CODECS}
    alone = {f"{codec} alone": each for codec, each in bits.items()}
    complexity = {
        f"{codec} complexity": outliers.input_complexity(values["log_prob"], compressor_bits=each)
        for codec, each in bits.items()
    }
    return alone | complexity


def _at(values: Mapping[str, NDArray[np.float64]], places: NDArray[np.int64]) -> Statistics:
    return {name: each[places] for name, each in values.items()}


def _print(table: pd.DataFrame) -> None:
    for measure in ("auroc", "fpr_at_95_tpr"):
        wide = table.pivot_table(index=["pair", "set"], columns="score", values=measure, sort=False)[list(SCORES)]
        print(f"\n{measure}\n{wide.round(3).to_string()}", flush=True)


def _print_means(table: pd.DataFrame) -> None:
    """Over all pairs and controls: by score, and by codec."""
    means = table.groupby("score", sort=False)[["auroc", "fpr_at_95_tpr"]].mean()
    print(f"\nmean over all pairs and controls; the default is {DEFAULT}\n{means.round(3).to_string()}")


if __name__ == "__main__":
    main()
