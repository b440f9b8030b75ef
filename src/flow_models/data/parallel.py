"""Reading many files at once, in order and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, threads: int, title: str, progress: bool = True
) -> Generator[Result, None, None]:
    """Apply ``function`` in threads and yield the results in the order of ``items``.

    At most ``2 * threads`` results wait to be taken, however many items there are. The first
    exception of ``function`` ends it. The progress bar shows on a terminal only.
    """
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    bar = tqdm(total=len(items), desc=title, unit=" images", disable=None if progress else True)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) == 2 * threads:
                yield pending.popleft().result()
                bar.update()
        while pending:
            yield pending.popleft().result()
            bar.update()
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
