from __future__ import annotations

import numpy as np
import pytest

from flow_models.errors import FlowModelsError
from flow_models.partition import Partition


def test_both_sides_are_cut_by_width() -> None:
    partition = Partition(x=3, noise=2, y=2)
    row = np.arange(5.0)[None]
    assert (partition.width, partition.z) == (5, 3)
    x, noise = partition.split_data(row)
    y, z = partition.split_latent(row)
    np.testing.assert_array_equal(np.concatenate([x, noise], axis=1), row)
    np.testing.assert_array_equal(x, [[0, 1, 2]])
    np.testing.assert_array_equal(y, [[0, 1]])
    np.testing.assert_array_equal(z, [[2, 3, 4]])


@pytest.mark.parametrize("widths", [{"x": 0}, {"x": 2, "noise": -1}, {"x": 2, "y": 3}, {"x": 2, "y": -1}])
def test_parts_that_do_not_fit_are_refused(widths: dict[str, int]) -> None:
    with pytest.raises(FlowModelsError, match="both sides of a bijection are of one width"):
        Partition(**widths)
