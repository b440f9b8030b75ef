"""The Dask cluster on which the stages of images read and pack, for as long as a task needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flow_models.data.parallel import cores
from flow_models.settings import LOCAL_CLUSTER
from flows.stage import StageError

_ADDRESS = "127.0.0.1"  # of this machine, to itself alone
_HERE = {"threads_per_worker": 1, "host": _ADDRESS, "dashboard_address": f"{_ADDRESS}:0"}


@contextmanager
def running_cluster(asked: str | None) -> Iterator[str | None]:
    """Run a cluster on this machine, or join one, by Prefect's ``DaskTaskRunner``.

    Args:
        asked: ``data.cluster``: None; ``local``: one worker a core, which end with the block; the address of a
            scheduler.

    Yields:
        The address of the scheduler; None if none was asked for.

    Raises:
        StageError: if ``prefect-dask`` is not installed, or nobody answers at the address.
    """
    if asked is None:
        yield None
        return
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError:
        what = "needs the package prefect-dask; pip install 'flow-models[cluster]', or set data.cluster to null"
        raise StageError(f"data.cluster: {asked}: {what}", worth_retrying=False) from None
    runner = (
        DaskTaskRunner(cluster_kwargs={"n_workers": cores(), **_HERE})
        if asked == LOCAL_CLUSTER
        else DaskTaskRunner(address=asked)
    )
    with runner:
        try:
            address = str(runner.client.scheduler.address)  # this starts it
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            reason = " ".join(str(error).split())
            what = f"no scheduler answers ({reason}); start it there"
            raise StageError(f"data.cluster: {asked}: {what}", worth_retrying=True) from None
        yield address
