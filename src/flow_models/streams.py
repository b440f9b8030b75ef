"""A batch in pieces, which the cores of a processor compute side by side.

TensorFlow gives every operation all cores, and most operations wait for the one before. A flow has hundreds of small
ones in a row: at the end of each the threads wait for one another. In streams every operation has one thread, and each
core takes a piece of the batch through all of them. ``benchmarks.glow`` and ``benchmarks.vectors`` measure what
that is worth.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps

import tensorflow as tf

from flow_models.data.parallel import cores

# With more, the pieces of an ordinary batch would be too small to keep a core's matrix unit busy.
MOST = 4
THREADS = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own; who sets it decides

Rows = Callable[..., tf.Tensor]


def use_streams() -> None:
    """Let this process compute in streams, one for each core; to be called before TensorFlow computes anything.

    Nothing changes with a GPU, on one core or more than ``MOST``, or where the threads of an operation are set already.
    """
    if tf.config.list_physical_devices("GPU") or not 1 < cores() <= MOST or os.environ.get(THREADS):
        return
    with suppress(RuntimeError):  # it has computed
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(cores())


def streams() -> int:
    """How many this process computes in: as many as operations run at once, if each has one thread."""
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        return 1
    return max(tf.config.threading.get_inter_op_parallelism_threads(), 1)


def in_streams(function: Rows) -> Rows:
    """``function``, which maps ``[n, …]`` to ``[n, …]`` row by row, computed in streams."""

    @wraps(function)
    def compute(*batches: tf.Tensor | None) -> tf.Tensor:
        count, given = streams(), [each for each in batches if each is not None]  # a context may not be
        if count == 1:
            return function(*given)
        rows = tf.shape(given[0])[0]
        missing = tf.where(rows > 0, -rows % count, count)  # an empty piece has no shape to be cut by
        whole = [tf.pad(each, [[0, missing], *[[0, 0]] * (each.shape.rank - 1)]) for each in given]
        done = _mapped(function, whole, count, signature=given[0].dtype)
        return tf.reshape(done, tf.concat([[rows + missing], tf.shape(done)[2:]], 0))[:rows]

    return compute


def mean_in_streams(
    function: Callable[..., Sequence[tf.Tensor]], batches: Sequence[tf.Tensor], *, count: int
) -> Sequence[tf.Tensor]:
    """The means of what ``function`` makes of ``count`` pieces of the batches, of one type; in the batch's order.

    What is a mean over the rows of a batch is one over the whole then. A batch that cannot be cut into as many equal
    pieces is cut into fewer.
    """
    count = math.gcd(batches[0].shape[0] or 1, count)
    if count == 1:
        return function(*batches)
    returned = _mapped(function, batches, count, signature=(batches[0].dtype,) * 2)
    return [tf.reduce_mean(each, axis=0) for each in returned]


def _mapped(
    function: Callable[..., tf.Tensor | Sequence[tf.Tensor]],
    batches: Sequence[tf.Tensor],
    count: int,
    *,
    signature: tf.DType | tuple[tf.DType, ...],
) -> tf.Tensor | Sequence[tf.Tensor]:
    pieces = [tf.reshape(each, tf.concat([[count, -1], tf.shape(each)[1:]], 0)) for each in batches]
    pieces = [tf.ensure_shape(own, [count, None, *each.shape[1:]]) for own, each in zip(pieces, batches, strict=True)]
    return tf.map_fn(lambda own: function(*own), pieces, fn_output_signature=signature, parallel_iterations=count)
