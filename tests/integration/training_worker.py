"""One process of a training: ``python training_worker.py FOLDER``; TF_CONFIG says of how many it is one.

While a file ``wait`` is in the folder it stands still before the third batch of the third epoch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from flow_models.errors import FlowModelsError
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training import TrainingData, train
from flow_models.training.strategy import choose_replicas

STEPS, BATCH, EPOCHS = 5, 16, 4
WAIT_AT = (2, 2)


def main(folder: Path) -> None:
    replicas = choose_replicas()
    with replicas.scope():
        model = FlowModel("glow", {"image_shape": (8, 8, 1), "levels": 2, "steps": 1, "hidden_channels": 8})
    everything = images(STEPS * BATCH)

    def batches(epoch: int, skip: int) -> Iterator[tf.Tensor]:
        for index in range(skip, STEPS):
            if (epoch, index) == WAIT_AT and (folder / "wait").exists():
                sys.stdout.write("waiting\n")
                sys.stdout.flush()
                while (folder / "wait").exists():
                    time.sleep(0.05)
            yield tf.constant(everything[index * BATCH :][:BATCH])

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
