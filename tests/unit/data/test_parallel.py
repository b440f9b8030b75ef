import threading

import pytest

from flow_models.data.parallel import ordered_map


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(ordered_map(lambda x: x * x, range(100), threads=7, title="")) == [x * x for x in range(100)]


def test_few_results_wait_however_many_items_there_are() -> None:
    started: list[int] = []
    results = ordered_map(started.append, range(1000), threads=2, title="")
    next(results)
    assert len(started) <= 4
    results.close()


def test_the_first_failure_ends_the_work() -> None:
    done = threading.Event()

    def fail(item: int) -> None:
        if item == 1:
            raise OSError("gone")
        if item > 900:
            done.set()

    with pytest.raises(OSError, match="gone"):
        list(ordered_map(fail, range(1000), threads=2, title=""))
    assert not done.is_set()
