from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flow_models.applications.drift_page import drift_page
from flow_models.applications.image_drift import file_statistics, flow_statistics, outlier_p_values, some_of
from flow_models.applications.image_scores import examine
from flow_models.data.manifest import DTYPES
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.report.page import render_page
from flow_models.settings import Settings
from tests.unit.applications.conftest import Gauss


def rows(number: int, **columns: Any) -> pd.DataFrame:
    every: dict[str, Any] = dict.fromkeys(DTYPES) | {"sha256": [f"{each:064x}" for each in range(number)], **columns}
    return pd.DataFrame(every).astype(DTYPES)


def test_statistics_of_files_are_numbers_even_where_the_manifest_has_none() -> None:
    statistics = file_statistics(rows(2, mean=[100.0, None], std=[5.0, 6.0], width=[8, None], bytes=[90, 91]))
    np.testing.assert_array_equal(statistics["brightness"], [100, np.nan])
    np.testing.assert_array_equal(statistics["width"], [8, np.nan])
    assert set(statistics) == {"brightness", "contrast", "width", "height", "bytes"}


def test_a_flow_that_is_right_sees_a_latent_energy_of_one(model: Gauss) -> None:
    images = np.clip(model.sample(300), 0, 255).astype(np.uint8)
    statistics = flow_statistics(model, images, seed=0, batch_size=70)
    assert {len(values) for values in statistics.values()} == {300}
    assert statistics["latent_energy"].mean() == pytest.approx(1, abs=0.1)
    assert statistics["latent_extreme"].mean() == pytest.approx(2, abs=0.5)  # of 16 standard normals
    outlying = flow_statistics(model, 255 - images, seed=0, batch_size=70)
    assert outlying["bits_per_dim"].min() > statistics["bits_per_dim"].max()


def test_alarms_are_those_of_the_models_own_outlier_score(model: Gauss) -> None:
    images = np.clip(model.sample(600), 0, 255).astype(np.uint8)
    fitting, calibrating, fresh = (examine(model, each, noise_seed=5) for each in np.split(images, 3))
    score = OutlierScore.fit(fitting, calibrating, noise_seed=5)
    p = outlier_p_values(model, score, images[400:], batch_size=70)
    np.testing.assert_allclose(p, score.p_values(fresh))
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.08)
    np.testing.assert_allclose(outlier_p_values(model, score, 255 - images[:9], batch_size=70), score.smallest_p_value)


def test_which_images_are_looked_at_has_nothing_to_do_with_their_names() -> None:
    manifest = rows(50, key=[f"train/a/{number:02d}.png" for number in range(50)])
    chosen = some_of(manifest, 10)
    assert len(chosen) == 10
    assert sorted(chosen["key"]) != list(manifest["key"][:10])
    shuffled = manifest.sample(frac=1, random_state=0)
    assert list(some_of(shuffled, 10)["key"]) == list(chosen["key"])


def test_the_page_names_what_drifted_and_what_was_promised() -> None:
    shift = {"difference": 1.5, "distance": 0.4, "p_value": 1e-5, "adjusted": 3e-5, "drifted": True}
    steady = {"difference": None, "distance": 0.0, "p_value": 1.0, "adjusted": 1.0, "drifted": False}
    found = {
        "champion": 3,
        "changes": {"added": 40, "removed": 1, "changed": 2, "share": 0.25},
        "statistics": {"brightness": shift, "width": steady},
        "decay": {"images": 40, "alarms": 9, "promised": 0.05, "p_value": 1e-4, "decayed": True},
        "reasons": ["brightness has drifted: by +1.5 standard deviations"],
    }
    values = {"brightness": np.arange(50.0), "width": np.full(50, 8.0)}
    page = render_page(drift_page(found, values, values, Settings()))
    for words in ("champion version 3", "25.0%", "40 new, 1 gone", "brightness has drifted", "mean pixel value", ">9<"):
        assert words in page
