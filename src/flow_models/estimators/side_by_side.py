"""Flows of an ensemble train side by side, each in a lane: one thread that keeps one core busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import tensorflow as tf

from flow_models.data.parallel import cores

HEARD_WITHIN = 0.2  # seconds

Result = TypeVar("Result")


@dataclass(frozen=True)
class Lane:
    """Where one flow trains at a time.

    Attributes:
        number: from 0; lanes share no compiled flow.
        stopped: set when what is done in the lanes is wanted no more.
    """

    number: int
    stopped: threading.Event

    def go_on(self) -> None:
        """Ask before every step.

        Raises:
            CancelledError: if another lane failed, or the user pressed Ctrl-C.
        """
        if self.stopped.is_set():
            raise CancelledError


def lanes_for(members: int) -> int:
    """As many as there are cores, no more than members; one where a GPU does the work."""
    return 1 if tf.config.list_physical_devices("GPU") else min(members, cores())


def side_by_side(work: Callable[[int, Lane], Result], number: int, *, lanes: int) -> list[Result]:
    """``work(index, lane)`` for each index below ``number``, in their order. The first error ends all."""
    stopped, free = threading.Event(), SimpleQueue[Lane]()
    for lane in range(lanes):
        free.put(Lane(lane, stopped))

    def in_a_free_lane(index: int) -> Result:
        lane = free.get()
        try:
            return work(index, lane)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(lanes) as pool:
        try:
            futures = [pool.submit(in_a_free_lane, index) for index in range(number)]
            unfinished = set(futures)
            while unfinished:  # a thread that waits without end may not hear of Ctrl-C
                done, unfinished = wait(unfinished, timeout=HEARD_WITHIN, return_when=FIRST_EXCEPTION)
                for each in done:
                    each.result()
            return [each.result() for each in futures]
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
