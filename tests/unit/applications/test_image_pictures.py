from __future__ import annotations

import pandas as pd
import pytest

from flow_models.applications.image_pictures import training_course


@pytest.mark.parametrize(
    ("unit", "told"), [("bits_per_dim", False), ("variational_bits_per_dim", True)], ids=["uniform", "variational"]
)
def test_the_course_of_a_training_says_with_which_noise_it_was_measured(unit: str, told: bool) -> None:
    row = {"epoch": 1, "seconds": 2.0, f"train_{unit}": 6.0, f"holdout_{unit}": 6.1}
    picture = training_course(pd.DataFrame([row]))
    assert ("variational noise" in picture.caption) == told
