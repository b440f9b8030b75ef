"""Seeds that follow from other numbers."""

from __future__ import annotations

import numpy as np


def seed_of(*numbers: int) -> int:
    """A seed of its own for each row of numbers, such as the seed of a run and the place of a batch; below 2³¹."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)
