"""Where a model is trained: on one device, on the GPUs of one machine, or on several machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from flow_models.errors import FlowModelsError, UnavailableError

CLUSTER = "TF_CONFIG"
# A step that waits this long for another worker waits in vain; the first waits for its graph to be built as well.
COLLECTIVE_SECONDS = 300.0
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Replicas:
    """The copies of one model that train together, each on its part of every batch.

    Sums over the replicas are what one process would have computed. The model's variables are made within
    ``scope()``; everything else is made outside of it, once in each process.

    Args:
        strategy: of TensorFlow; None for one device.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self._strategy = strategy
        self.count: int = 1 if strategy is None else strategy.num_replicas_in_sync
        self.worker, self.workers = _place(strategy)
        self._total = tf.function(self._total_of_workers, autograph=False, reduce_retracing=True)

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Variables made or assigned within it are on every replica."""
        return nullcontext() if self._strategy is None else self._strategy.scope()

    def own(self, rows: tf.Tensor) -> tf.Tensor:
        """Within ``sum``, this replica's part of what its worker has of a batch."""
        return self._part(rows, self.count // self.workers)

    def part(self, batch: tf.Tensor) -> tf.Tensor:
        """Within ``sum``, this replica's part of a whole batch."""
        return self._part(batch, self.count)

    def sum(self, compute: Callable[[], Sequence[tf.Tensor]]) -> Sequence[tf.Tensor]:
        """Run ``compute`` on every replica and add up what it returns; for use in a compiled function."""
        if self._strategy is None:
            return compute()
        return [self._strategy.reduce("SUM", each, axis=None) for each in self._strategy.run(compute)]

    def total(self, *values: float) -> list[float]:
        """Numbers of each worker, added up over the workers."""
        if self.workers == 1:
            return list(values)
        return [float(each) for each in self._total(tf.constant(values, tf.float64))]

    def share(self, variables: Sequence[tf.Variable]) -> None:
        """Give every replica the chief's values."""
        with self.scope():
            for variable in variables:
                variable.assign(self._of_chief(variable.read_value()))

    def share_json(self, content: Any) -> Any:
        """The chief's ``content``, on every worker."""
        if self.workers == 1:
            return content
        text = np.frombuffer(json.dumps(content).encode(), np.uint8).astype(np.int32)
        length = int(self._of_chief(tf.constant(len(text))))
        shared = self._of_chief(tf.constant(text if self.chief else np.zeros(length, np.int32)))
        return json.loads(shared.numpy().astype(np.uint8).tobytes())

    @contextmanager
    def losses_explained(self) -> Iterator[None]:
        """Turn the end of another worker into one line.

        Raises:
            UnavailableError: if another worker is gone.
        """
        try:
            yield
        except LOST as error:
            if self.workers == 1:
                raise
            raise UnavailableError(
                f"worker {self.worker} of {self.workers}: another worker is gone; "
                "start all of them again to continue from the last checkpoint"
            ) from error

    def _part(self, rows: tf.Tensor, replicas: int) -> tf.Tensor:
        if replicas == 1:
            return rows
        size = tf.shape(rows)[0] // replicas
        return rows[_replica() % replicas * size :][:size]

    def _of_chief(self, value: tf.Tensor) -> tf.Tensor:
        if self.workers == 1:
            return value
        return self._total(value if self.chief else tf.zeros_like(value))

    def _total_of_workers(self, value: tf.Tensor) -> tf.Tensor:
        strategy: Any = self._strategy

        def own() -> tf.Tensor:
            first = _replica() % (self.count // self.workers) == 0
            return tf.where(first, value, tf.zeros_like(value))

        return strategy.reduce("SUM", strategy.run(own), axis=None)


def choose_replicas() -> Replicas:
    """All workers that TF_CONFIG names; else all GPUs of this machine; else the one device there is.

    To be called before TensorFlow computes anything, for then the workers can no longer be joined.

    Raises:
        FlowModelsError: if TF_CONFIG cannot be understood.
    """
    if os.environ.get(CLUSTER):
        _check_cluster(os.environ[CLUSTER])
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=COLLECTIVE_SECONDS)
        return Replicas(tf.distribute.MultiWorkerMirroredStrategy(communication_options=options))
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return Replicas(tf.distribute.MirroredStrategy())
    return Replicas()


def _check_cluster(text: str) -> None:
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    try:
        content = json.loads(text)
        workers, task = content["cluster"]["worker"], content["task"]
        known = task["type"] == "worker" and 0 <= task["index"] < len(workers)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise FlowModelsError(f"{CLUSTER}: {text!r} does not say which worker of which this is; such as {example}")


def _place(strategy: tf.distribute.Strategy | None) -> tuple[int, int]:
    """Which process of how many this is."""
    cluster: Any = None if strategy is None else strategy.cluster_resolver
    workers = len(cluster.cluster_spec().as_dict().get("worker", [])) if cluster else 0
    return (int(cluster.task_id), workers) if workers > 1 else (0, 1)


def _replica() -> tf.Tensor:
    return tf.distribute.get_replica_context().replica_id_in_sync_group
