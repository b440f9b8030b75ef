"""One process of a training: ``python training_worker.py FOLDER``; TF_CONFIG says of how many it is one.

It learns from the folder's shards, of which two workers read half each. While a file ``wait`` is in the folder it
stands still before the third batch of the third epoch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from flow_models.data import planning
from flow_models.data.lanes import WHOLE, Share, lanes_of, steps_per_epoch
from flow_models.data.manifest import build_manifest
from flow_models.data.pipeline import training_batches
from flow_models.data.png import encode_png
from flow_models.data.shards import write_shards
from flow_models.data.sources import open_source
from flow_models.errors import FlowModelsError
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training import TrainingData, train
from flow_models.training.strategy import choose_replicas

STEPS, BATCH, EPOCHS = 5, 16, 4
WAIT_AT = (2, 2)


def prepare(folder: Path) -> None:
    """Shards of 100 images in enough files for four lanes."""
    for number, image in enumerate(images(100)):
        path = folder / ("data/val/one" if number == 0 else "data/train/one") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(image[..., 0]))
    source, options = open_source(str(folder / "data")), {"holdout": 0.1, "seed": 0, "inliers": [], "megabytes": 1}
    manifest = build_manifest(source, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_FILES", 20)
        patch.setattr(planning, "_SMALLEST", 1)
        index = write_shards(manifest, source, folder / "shards", shape=(8, 8, 1), **options)
    train = index.splits["train"].files
    assert (len(lanes_of(train, BATCH)), steps_per_epoch(train, BATCH)) == (4, STEPS)


def main(folder: Path) -> None:
    replicas = choose_replicas()
    with replicas.scope():
        model = FlowModel("glow", {"image_shape": (8, 8, 1), "levels": 2, "steps": 1, "hidden_channels": 8})

    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[tf.Tensor]:
        found = training_batches(folder / "shards", batch_size=BATCH, seed=3, epoch=epoch, skip=skip, share=share)
        for index, batch in enumerate(found, start=skip):
            if (epoch, index) == WAIT_AT and (folder / "wait").exists():
                sys.stdout.write("waiting\n")
                sys.stdout.flush()
                while (folder / "wait").exists():
                    time.sleep(0.05)
            yield batch

    train(
        model,
        TrainingData(batches, STEPS, images(300)),  # type: ignore[arg-type]
        TrainSettings(
            epochs=EPOCHS, batch_size=BATCH, learning_rate=0.003, warmup_steps=3, averaging=0.5, checkpoint_minutes=0
        ),
        seed=3,
        folder=folder / "model",
        checkpoints=folder / "checkpoints",
        replicas=replicas,
    )


def images(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return np.clip(rng.normal(128, 30, [count, 1, 1, 1]) + rng.normal(0, 5, [count, 8, 8, 1]), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except FlowModelsError as error:
        sys.exit(f"error: {error}")
