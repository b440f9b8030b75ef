"""Who does the work on many files: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context, parent_process
from threading import Thread
from types import ModuleType
from typing import TypeVar

import PIL

from flow_models.data.parallel import cores
from flow_models.errors import FlowModelsError, UnavailableError
from flow_models.settings import CLUSTER_VARIABLE, LOCAL_CLUSTER

Item = TypeVar("Item")
Result = TypeVar("Result")
_SECONDS = 30.0  # that a scheduler has to answer, and to show a worker


class Workers:
    """Do pieces of work, and give the results in the order of the pieces.

    Args:
        pool: whose processes do one piece at a time each; None: this process does one after the other.
        count: of the pool's processes.
        name: of the pool, in errors.
    """

    def __init__(self, pool: Executor | None = None, *, count: int = 1, name: str = "") -> None:
        self._pool = pool
        self._ahead = 2 * count  # while one piece is worked on, the next is on its way
        self._name = name

    @property
    def elsewhere(self) -> bool:
        """Whether other processes do the work: small pieces then spread better."""
        return self._pool is not None

    def map(self, function: Callable[[Sequence[Item]], Result], pieces: Iterable[Sequence[Item]]) -> Iterator[Result]:
        """Apply ``function`` to each piece; the first exception ends it.

        However many pieces there are, two for each process are asked for ahead of the result that is taken.
        What goes to another process is pickled; an empty piece goes nowhere.

        Raises:
            FlowModelsError: if a process dies, or the cluster cannot be reached any more.
        """
        if self._pool is None:
            yield from map(function, pieces)
            return
        pending: deque[Future[Result]] = deque()
        try:
            for piece in pieces:
                pending.append(self._pool.submit(function, piece) if piece else _done(function(piece)))
                if len(pending) == self._ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenExecutor:
            what = "a process ended suddenly; it may have had too little memory: lower data.shard_megabytes"
            raise FlowModelsError(f"data.cluster: {self._name}: {what}, or set data.cluster to null") from None
        except Exception as error:
            if type(error).__module__.startswith("distributed"):
                reason = " ".join(str(error).split()) or type(error).__name__
                raise UnavailableError(f"data.cluster: {self._name}: {reason}; look at its workers' logs") from None
            raise
        finally:
            for future in pending:
                future.cancel()


def _done(result: Result) -> Future[Result]:
    future: Future[Result] = Future()
    future.set_result(result)
    return future


@lru_cache
def code_digest(*modules: ModuleType) -> str:
    """Names the code of modules and the version of Pillow: what they make of an image follows from these."""
    code = "".join(inspect.getsource(module) for module in modules)
    return hashlib.sha256(f"{code}{PIL.__version__}".encode()).hexdigest()[:16]


def require_same(asked: str, own: str) -> None:
    """Refuse work that the one who asks for it would do otherwise.

    Raises:
        FlowModelsError: if the two :func:`code_digest` differ.
    """
    if asked != own:
        raise FlowModelsError("data.cluster: a worker has another version of flow-models or Pillow; install the same")


@contextmanager
def open_workers(cluster: str | None) -> Iterator[Workers]:
    """The workers that ``data.cluster`` names; in a flow, those of the scheduler that it runs for its stages.

    Args:
        cluster: None: this process; ``local``: one process a core; else the address of a Dask scheduler, on
            whose workers this package is installed in the same version.

    Raises:
        FlowModelsError: if ``distributed`` is not installed, or nobody answers at the address.
    """
    cluster = os.environ.get(CLUSTER_VARIABLE, cluster)
    if cluster is None:
        yield Workers()
    elif cluster == LOCAL_CLUSTER:
        # Not fork: this process has threads, and TensorFlow.
        pool = ProcessPoolExecutor(cores(), mp_context=get_context("spawn"), initializer=_end_with_parent)
        try:
            yield Workers(pool, count=cores(), name=cluster)
        finally:
            pool.shutdown(cancel_futures=True)
    else:
        with _dask(cluster) as workers:
            yield workers


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _dask(address: str) -> Iterator[Workers]:
    try:
        from distributed import Client
    except ImportError:
        what = "needs the package distributed; pip install 'flow-models[cluster]', or set data.cluster to null"
        raise FlowModelsError(f"data.cluster: {address}: {what}") from None
    try:
        client = Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        reason = " ".join(str(error).split())
        raise UnavailableError(f"data.cluster: {address}: no scheduler answers ({reason}); start it there") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS)
        except OSError:
            raise UnavailableError(f"data.cluster: {address}: has no workers; start some (dask worker)") from None
        pool = client.get_executor(pure=False)
        try:
            yield Workers(pool, count=sum(client.ncores().values()), name=address)
        finally:
            pool.shutdown(wait=False)
