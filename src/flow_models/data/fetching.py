"""The shards' files on the local disk: where they lie, or fetched from S3 when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from threading import Semaphore
from typing import TypeAlias

from flow_models.data.cache import Cache
from flow_models.data.errors import UnreadableError
from flow_models.data.packing import PackedFile, stored_name
from flow_models.data.parallel import ordered_map
from flow_models.data.shards import Index
from flow_models.data.sources import Source, open_source
from flow_models.errors import FlowModelsError
from flow_models.settings import DATA_CACHE

Fetch: TypeAlias = Callable[[PackedFile], Path]
_FETCHED = DATA_CACHE / "shards"
_AT_ONCE = 4  # a file that is fetched is in memory until it is written


def fetcher(folder: Path, index: Index) -> Fetch:
    """What gives the path of a file of the shards in ``folder``; one in S3 is brought to ``.cache/data/shards`` first.

    That cache holds twice what all shards take, least recently used out first; what lies in it is checked
    whenever it is asked for. Any number of threads may ask.

    Raises:
        FlowModelsError: where it is called: if the file is gone from S3 or another, or there is no room for it.
    """
    if index.location is None:
        return lambda file: folder / file.name
    store = open_source(index.location, connections=_AT_ONCE, requester_pays=index.requester_pays)
    cache = Cache(_FETCHED, limit=2 * index.bytes)
    turns = Semaphore(_AT_ONCE)

    def fetch(file: PackedFile) -> Path:
        with turns:
            return cache.path(file.sha256, partial(_download, store, file.sha256))

    return fetch


def fetched(fetch: Fetch, files: Sequence[PackedFile], *, others: int = 0) -> Generator[Path, None, None]:
    """The paths of files, in order, a few of them fetched ahead; fewer if others are fetched at the same time."""
    return ordered_map(fetch, files, threads=-(-_AT_ONCE // (1 + others)), title="", progress=False)


def _download(store: Source, sha256: str) -> bytes:
    name = stored_name(sha256)
    try:
        content = store.read(name, sha256=sha256).data
    except UnreadableError as error:
        raise FlowModelsError(f"{store.uri}/{name}: {error}; run `flow-models data shard` again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise FlowModelsError(f"{store.uri}/{name}: another content; remove it and run `flow-models data shard` again")
    return content
