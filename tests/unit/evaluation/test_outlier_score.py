import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from flow_models.errors import FlowModelsError
from flow_models.evaluation.outlier_score import ARRAYS, DESCRIPTION, SCORES, OutlierScore


def statistics(number: int, *, seed: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Of images whose likelihood and complexity go together."""
    rng = np.random.default_rng(seed)
    complexity = rng.normal(size=number)
    return {
        "log_prob": -1000 - 100 * complexity + 10 * rng.normal(size=number) + 100 * shift,
        "log_det": -300 + 5 * rng.normal(size=number),
        "than_upside_down": 40 + 10 * rng.normal(size=number),
        "z1.mean": rng.normal(size=number),
        "z1.square": rng.normal(size=number),
        "compressor_bits": 900 + 80 * complexity,
    }


@pytest.fixture(scope="module")
def score() -> OutlierScore:
    return OutlierScore.fit(statistics(300, seed=0), statistics(199, seed=1), noise_seed=3)


def test_there_is_a_score_of_every_name(score: OutlierScore) -> None:
    scores = score.scores(statistics(5, seed=2))
    assert tuple(scores) == SCORES
    assert all(each.shape == (5,) for each in scores.values())


def test_the_default_finds_a_likelihood_that_does_not_fit_the_complexity(score: OutlierScore) -> None:
    outlying = statistics(200, seed=3, shift=1.0)
    p = score.p_values(outlying)
    assert np.mean(p <= 0.05) > 0.95
    usual = score.scores(statistics(200, seed=4))["likelihood"]
    assert score.scores(outlying)["likelihood"].mean() < usual.mean()


def test_the_default_finds_what_stands_on_its_head(score: OutlierScore) -> None:
    turned = statistics(200, seed=3)
    turned["than_upside_down"] *= -1
    assert np.mean(score.p_values(turned) <= 0.05) > 0.95


def test_an_image_that_stands_right_more_clearly_than_others_is_no_outlier_for_that(score: OutlierScore) -> None:
    usual = statistics(200, seed=3)
    clear = {**usual, "than_upside_down": usual["than_upside_down"] + 1000}
    assert (score.p_values(clear) >= score.p_values(usual)).all()


def test_false_alarms_of_fresh_inliers_come_at_the_level() -> None:
    alarms, each = 0, 50
    for seed in range(20):
        fitted = OutlierScore.fit(statistics(60, seed=3 * seed), statistics(199, seed=3 * seed + 1), noise_seed=0)
        alarms += int((fitted.p_values(statistics(each, seed=3 * seed + 2)) <= 0.1).sum())
    # The calibration sets vary too: wider than a binomial of independent images by half as much again.
    low, high = binom.ppf([0.001, 0.999], 20 * each, 0.1)
    middle = 20 * each * 0.1
    assert middle + 1.5 * (low - middle) <= alarms <= middle + 1.5 * (high - middle)


def test_an_image_without_a_density_is_the_most_outlying(score: OutlierScore) -> None:
    broken = {**statistics(1, seed=5), "log_prob": np.array([np.nan])}
    scores = score.scores(broken)
    assert scores["likelihood"] == scores["density_of_states"] == scores["combined"] == np.inf
    assert score.p_values(broken)[0] == score.smallest_p_value == 1 / 200


def test_saved_and_loaded_it_says_the_same(score: OutlierScore, tmp_path: Path) -> None:
    score.save(tmp_path)
    loaded, fresh = OutlierScore.load(tmp_path), statistics(20, seed=6)
    assert loaded.noise_seed == 3
    np.testing.assert_array_equal(loaded.p_values(fresh), score.p_values(fresh))
    for name, each in score.scores(fresh).items():
        np.testing.assert_array_equal(loaded.scores(fresh)[name], each)


def test_files_that_are_missing_damaged_or_of_another_version_are_refused(score: OutlierScore, tmp_path: Path) -> None:
    with pytest.raises(FlowModelsError, match="no outlier score beside this model"):
        OutlierScore.load(tmp_path)
    score.save(tmp_path)
    content = (tmp_path / ARRAYS).read_bytes()
    (tmp_path / ARRAYS).write_bytes(content[:-9])
    with pytest.raises(FlowModelsError, match="damaged"):
        OutlierScore.load(tmp_path)
    (tmp_path / ARRAYS).write_bytes(content)
    about = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(FlowModelsError, match="another version"):
        OutlierScore.load(tmp_path)


def test_too_few_inliers_are_refused() -> None:
    with pytest.raises(ValueError, match="m > 1"):
        OutlierScore.fit(statistics(1, seed=0), statistics(9, seed=1), noise_seed=0)
    with pytest.raises(ValueError, match="no calibration scores"):
        OutlierScore.fit(statistics(9, seed=0), statistics(0, seed=1), noise_seed=0)
