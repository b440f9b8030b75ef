"""Bits per dimension after the same steps in float32 and in bfloat16.

    python -m benchmarks.precision [--data FOLDER --side 32 --channels 3] [--steps 600] [--seeds 4]

Without a folder on the embedded digits, 8x8. Same data, same start, same noise; what differs is the number type inside
the coupling networks. Evaluation is in float32 for both. Any other rounding leads elsewhere in so many steps, up or
down: what the type itself does is the mean over seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from flow_models import data_stages, stages
from flow_models.data.lanes import steps_per_epoch
from flow_models.evaluation.likelihood import mean_and_standard_error
from flow_models.settings import Settings


def main() -> None:
    """Train both and print what they reach on the held-out images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=lambda text: Path(text).resolve(), help="train/<class>/ and val/<class>/")
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        if arguments.data is None:
            data_stages.demo(Path("data"))
        common = _settings(arguments)
        data_stages.validate(common)
        index = data_stages.prepare(common)
        epochs = max(arguments.steps // steps_per_epoch(index.splits["train"].files, common.train.batch_size), 1)
        differences = []
        for seed in range(arguments.seeds):
            reached = {}
            for precision in ("float32", "bfloat16"):
                train = common.train.model_copy(update={"precision": precision, "epochs": epochs})
                outcome = stages.train(common.model_copy(update={"train": train, "seed": seed}))
                reached[precision] = outcome.holdout
            differences.append(reached["bfloat16"] - reached["float32"])
            print(
                f"seed {seed}, {outcome.steps} steps:",
                *(f"{key} {value:.4f}" for key, value in reached.items()),
                flush=True,
            )
    mean, error = mean_and_standard_error(differences)
    print(f"bfloat16 less float32: {mean:+.4f} ± {error:.4f} bits/dim")


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings.model_validate(
        {
            "data": {
                "source": str(arguments.data or "data"),
                "height": arguments.side,
                "width": arguments.side,
                "channels": arguments.channels,
            },
            "model": {"levels": arguments.levels, "steps": 8, "hidden_channels": 64},
            "train": {"patience": 1000, "minutes": None},
        }
    )


if __name__ == "__main__":
    main()
