"""An inverse problem learned with both conditionings, at equal parameters and equal time: which posterior is better?

    python -m benchmarks.conditioning inverse_kinematics [--minutes 5] [--params params.yaml] [--json]

``parts`` has the observation as a part y of the latent side, ``context`` as an input of the network. The hidden layers
of ``parts`` are widened or narrowed until both have as many parameters, within 2 %. Each learns from the same
simulations, in its own folder, and is measured as ``flow-models evaluate`` does. With ``--epochs`` both see equally
many simulations instead, whatever else the machine does meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from flow_models import data_stages, stages
from flow_models.applications.vectors import blueprint
from flow_models.data.tables import Table, read_table
from flow_models.report.page import flatten
from flow_models.settings import Settings, load_settings
from flow_models.streams import use_streams

CLOSE = 0.02
SHOWN = ("negative_log_likelihood", "resimulation_error", "calibration.coverage_error", "benchmark", "reference")


def main() -> None:
    """Train, measure and print both."""
    arguments = _arguments()
    use_streams()
    settings = load_settings(arguments.params, application=arguments.application)
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        data_stages.simulate(settings)
        table = read_table(settings.prepared_folder)
        context = with_conditioning(settings, "context")
        parts = equally_large(with_conditioning(settings, "parts"), table, parameters(context, table))
        rows = {
            name: measured(in_time(each, arguments), table) for name, each in (("context", context), ("parts", parts))
        }
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for key in rows["context"]:
        print(f"{key:48}", *(f"{row[key]:>14.5g}" if key in row else f"{'':>14}" for row in rows.values()))


def with_conditioning(settings: Settings, conditioning: str) -> Settings:
    """The same settings but for where the observation goes."""
    return _changed(settings, partition={"conditioning": conditioning})


def in_time(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """Equal minutes, or equal epochs."""
    if arguments.epochs is not None:
        return _changed(settings, train={"epochs": arguments.epochs, "minutes": None})
    return _changed(settings, train={"epochs": 10**6, "minutes": arguments.minutes, "patience": 10**6})


def equally_large(settings: Settings, table: Table, wanted: int) -> Settings:
    """The settings with hidden layers of that width at which the model has the parameters that are wanted."""
    hidden = np.array(settings.model.hidden)
    low, high = 0.25, 4.0
    for _ in range(12):
        factor = np.sqrt(low * high)
        scaled = _changed(settings, model={"hidden": np.maximum(np.rint(hidden * factor), 1).astype(int).tolist()})
        found = parameters(scaled, table)
        if abs(found / wanted - 1) < CLOSE:
            return scaled
        low, high = (factor, high) if found < wanted else (low, factor)
    raise SystemExit(f"no width of {hidden.tolist()} gives {wanted} parameters; name hidden layers that are wider")


def measured(settings: Settings, table: Table) -> dict[str, float]:
    """Train, evaluate, and what came out, flat."""
    start, used = time.monotonic(), time.process_time()
    outcome = stages.train(settings)
    seconds, processor = time.monotonic() - start, time.process_time() - used
    metrics = flatten(stages.evaluate(settings))
    simulations = outcome.steps * settings.train.batch_size
    return {
        "parameters": parameters(settings, table),
        "simulations seen": simulations,
        "seconds": seconds,
        "processor seconds": processor,
        "held-out nats": outcome.holdout,
        **{name: value for name, value in metrics.items() if name.startswith(SHOWN) and isinstance(value, float)},
    }


def parameters(settings: Settings, table: Table) -> int:
    """How many a model trains."""
    model = blueprint(settings, table).build()
    return sum(int(np.prod(each.shape)) for each in model.trainable_variables)


def _changed(settings: Settings, **sections: dict[str, Any]) -> Settings:
    content = settings.model_dump(by_alias=True)
    for name, changes in sections.items():
        content[name] = content[name] | changes
    return Settings.model_validate(content)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("application")
    parser.add_argument("--params", type=lambda text: Path(text).resolve(), default=Path("params.yaml").resolve())
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, each")
    parser.add_argument("--epochs", type=int, help="of training, each, instead of minutes")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
