"""How a run computes: the number type inside the coupling networks, and what compiles a step."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import tensorflow as tf

from flow_models.architectures import CONVOLUTIONAL
from flow_models.data.atomic import complete_file
from flow_models.data.parallel import cores
from flow_models.settings import TrainSettings
from flow_models.streams import streams

logger = logging.getLogger(__name__)

CACHE = Path(".cache/flow_models/precision.json")
OF_THE_RUN = "compute.json"
# XLA takes a second or two to compile a flow for vectors, and saves milliseconds of each step.
WORTHWHILE_STEPS, WORTHWHILE_MINUTES = 2_000, 1.0
PIXELS, CHANNELS, BATCH, REPEATS = 16, 128, 32, 5


@dataclass(frozen=True)
class Compute:
    """One way to compute.

    Half precision stays inside the coupling networks. The flow itself, its log-determinants and
    the weights are float32 always, so that the model inverts and its likelihood is exact.

    Attributes:
        precision: ``float32`` or ``bfloat16``.
        compile: ``graph`` or ``xla``.
        streams: in which graphs compute; see ``flow_models.streams``.
    """

    precision: str
    compile: str
    streams: int = 1

    @property
    def dtype(self) -> tf.DType:
        """The type inside the coupling networks."""
        return tf.as_dtype(self.precision)

    @property
    def xla(self) -> bool:
        """Whether XLA compiles a step."""
        return self.compile == "xla"


def choose_compute(settings: TrainSettings, architecture: str, *, steps: int, run: Path) -> Compute:
    """What the settings ask for; for ``auto``, what is fastest here.

    What is fastest for convolutions is measured once per machine and kept in ``.cache/flow_models``. A run keeps what
    it was started with, in its folder ``run``, wherever it continues: so it ends with the weights of one that was never
    interrupted.

    Args:
        settings: of the training.
        architecture: a name in ``architectures``.
        steps: of the training, at most.
        run: the folder of the run's checkpoints.
    """
    kept = _read(run / OF_THE_RUN)
    if kept:
        compute = Compute(**kept)
        logger.info("%s, %s, %s, as the run was started", compute.precision, compute.compile, _streams(compute))
        return compute
    if architecture in CONVOLUTIONAL:
        compute = _fastest(_candidates(settings))
    else:
        compute = compute_of_vectors(settings, steps=steps)
        logger.info("%s, %s, for dense networks and %d steps", compute.precision, compute.compile, steps)
    if not compute.xla:
        compute = replace(compute, streams=streams())
        logger.info("a batch in %s", _streams(compute))
    with complete_file(run / OF_THE_RUN) as unfinished:
        unfinished.write_text(json.dumps(asdict(compute)), encoding="utf-8")
    return compute


def compute_of_vectors(settings: TrainSettings, *, steps: int, runs: int = 1) -> Compute:
    """What the settings ask for; for ``auto``, float32, compiled by XLA if that is made up for.

    The products of a coupling flow for vectors are small: most of a step's time goes into the start of its hundreds of
    operations, which XLA makes into few, on every processor. In streams they take no longer without it.
    ``benchmarks.vectors`` measures both.

    Args:
        settings: of the training.
        steps: of a run, at most.
        runs: that share what is compiled.
    """
    precision = "float32" if settings.precision == "auto" else settings.precision
    minutes = math.inf if settings.minutes is None else settings.minutes
    worthwhile = runs * steps >= WORTHWHILE_STEPS and runs * minutes >= WORTHWHILE_MINUTES
    compiler = "xla" if worthwhile and streams() == 1 else "graph"
    return Compute(precision, compiler if settings.compile == "auto" else settings.compile)


def _candidates(settings: TrainSettings) -> list[Compute]:
    precisions = ("float32", "bfloat16") if settings.precision == "auto" else (settings.precision,)
    if settings.compile != "auto":
        compilers: tuple[str, ...] = (settings.compile,)
    else:
        # On CPUs, XLA's convolutions lose to oneDNN's by far: not worth the time of compiling them to find out.
        compilers = ("graph", "xla") if tf.config.list_physical_devices("GPU") else ("graph",)
    return [Compute(*each) for each in product(precisions, compilers)]


def _fastest(candidates: list[Compute]) -> Compute:
    if len(candidates) == 1:
        logger.info("%s, as set", _name(candidates[0]))
        return candidates[0]
    seconds = _measured(candidates)
    best, *others = sorted(candidates, key=lambda each: seconds[_name(each)])
    ratios = (f"{seconds[_name(each)] / seconds[_name(best)]:.1f} times {_name(each)}" for each in others)
    logger.info("%s, measured %s; set train.precision or train.compile to override", _name(best), " and ".join(ratios))
    return best


def _measured(candidates: list[Compute]) -> dict[str, float]:
    """Seconds of each candidate, from the cache if it has them all: only times of one moment compare."""
    cache = _read(CACHE)
    machine = _machine()
    known: dict[str, float] = cache.get(machine, {})
    if all(_name(each) in known for each in candidates):
        return known
    known |= {_name(each): _seconds_per_step(each) for each in candidates}
    # Where the cache cannot be written, or another process writes it now, measuring again costs a second.
    with suppress(OSError), complete_file(CACHE) as unfinished:
        unfinished.write_text(json.dumps({**cache, machine: known}, indent=2) + "\n", encoding="utf-8")
    return known


def _streams(compute: Compute) -> str:
    return "1 stream" if compute.streams == 1 else f"{compute.streams} streams"


def _name(compute: Compute) -> str:
    return f"{compute.precision} {compute.compile}"


def _read(path: Path) -> dict[str, Any]:
    """A JSON file; nothing if there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _machine() -> str:
    """What the timings depend on: processors, how many, and TensorFlow."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(each).get("device_name", each.name) for each in gpus]
    return ", ".join([_processor(), f"{cores()} cores", *names, f"TensorFlow {tf.__version__}"])


def _processor() -> str:
    """Its name, and a digest of its instructions: virtual machines hide the one but not the other."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    instructions = about.get("flags", about.get("Features", ""))
    name = about.get("model name", platform.machine())
    return f"{name} ({hashlib.sha256(instructions.encode()).hexdigest()[:8]})"


def _seconds_per_step(compute: Compute) -> float:
    """The best of a few timings of a coupling network's convolutions and their gradients."""
    x = tf.ones([BATCH, PIXELS, PIXELS, CHANNELS], compute.dtype)
    kernels = [tf.ones([size, size, CHANNELS, CHANNELS], compute.dtype) for size in (3, 1, 3)]

    @tf.function(jit_compile=compute.xla or None)
    def work() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(kernels)
            h = x
            for kernel in kernels:
                h = tf.nn.relu(tf.nn.conv2d(h, kernel, strides=1, padding="SAME"))
            total = tf.reduce_sum(h)
        return tape.gradient(total, kernels)

    def run() -> None:
        for gradient in work():
            gradient.numpy()

    run()
    timings = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        timings.append(time.perf_counter() - start)
    return min(timings)
