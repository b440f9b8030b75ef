from itertools import chain

import numpy as np
import pytest

from flow_models.data.lanes import Share, lanes_of, steps_per_epoch
from flow_models.data.packing import PackedFile


def files(number: int, *, images: int = 10) -> list[PackedFile]:
    """With ``images`` more or less in each."""
    counts = images + np.random.default_rng(0).integers(-images // 2, images // 2, number)
    return [PackedFile(f"{index:05d}", int(count), "", 0, "") for index, count in enumerate(counts)]


@pytest.mark.parametrize(
    ("number", "batch_size", "lanes"),
    [(1, 64, 1), (7, 64, 1), (8, 64, 2), (30, 64, 4), (1000, 64, 16), (1000, 36, 12), (1000, 97, 1), (1000, 4, 4)],
)
def test_lanes_divide_the_batch_and_have_four_files_each(number: int, batch_size: int, lanes: int) -> None:
    assert len(lanes_of(files(number), batch_size)) == lanes


def test_every_file_is_in_one_lane_and_the_lanes_have_about_as_many_images() -> None:
    lanes = lanes_of(files(100), 64)
    assert sorted(chain(*lanes), key=lambda file: file.name) == files(100)
    counts = [sum(file.count for file in lane) for lane in lanes]
    assert max(counts) - min(counts) <= 5


def test_an_epoch_is_as_long_as_its_shortest_lane() -> None:
    counts = [sum(file.count for file in lane) for lane in lanes_of(files(100), 64)]
    assert steps_per_epoch(files(100), 64) == min(counts) // 4
    assert steps_per_epoch(files(3), 64) == sum(file.count for file in files(3)) // 64


@pytest.mark.parametrize("workers", [1, 2, 3, 6])
def test_the_shares_of_all_workers_are_the_batch(workers: int) -> None:
    rows = np.arange(12)
    shares = [rows[Share(worker, workers).rows(12)] for worker in range(workers)]
    np.testing.assert_array_equal(np.concatenate(shares), rows)
    assert {len(share) for share in shares} == {12 // workers}
