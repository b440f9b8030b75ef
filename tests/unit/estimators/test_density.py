"""FlowDensity: normalised, repeatable, and at home in scikit-learn."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import time

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tqdm import tqdm

import flow_models as fm
from flow_models.errors import FlowModelsError
from flow_models.estimators.side_by_side import HEARD_WITHIN
from flow_models.estimators.units import Units
from tests.unit.estimators.tiny import TINY, expected_failures


@parametrize_with_checks([fm.FlowDensity(**TINY)], expected_failed_checks=expected_failures)
def test_it_keeps_scikit_learns_conventions(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    first = rng.gamma(2.0, 1.0, 300)
    return np.column_stack([first, np.tanh(first + 0.1 * rng.normal(size=300)), np.full(300, 7.0)])


SUPPORT = [(0, None), (-1, 1), (None, None)]


@pytest.fixture(scope="module")
def density(table):
    return fm.FlowDensity(**TINY | {"n_estimators": 2, "max_iter": 150, "support": SUPPORT}).fit(table)


def test_the_density_integrates_to_one(density):
    # Close to the bounds, where there is much of it, the points are close as well.
    x, y = np.meshgrid(np.exp(np.linspace(-12, 5, 800)), 2 * norm.cdf(np.linspace(-5, 5, 800)) - 1)
    grid = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, 7.0)])
    values = np.exp(density.score_samples(grid)).reshape(x.shape)
    assert np.trapezoid(np.trapezoid(values, x[0], axis=1), y[:, 0]) == pytest.approx(1, abs=0.01)


def test_samples_lie_inside_the_support_and_repeat_with_their_seed(density):
    samples = density.sample(500)
    assert samples.shape == (500, 3)
    assert (samples[:, 0] > 0).all()
    assert (abs(samples[:, 1]) < 1).all()
    assert (samples[:, 2] == 7).all()
    np.testing.assert_array_equal(samples, density.sample(500))
    assert not np.array_equal(samples, density.sample(500, random_state=1))


def test_latents_carry_rows_back(density, table):
    latents = density.transform(table)
    assert latents.shape == (300, 2)
    np.testing.assert_allclose(density.inverse_transform(latents), table, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="must be"):
        density.inverse_transform(latents[:, :1])


def test_a_saved_density_is_the_same_and_holds_no_pickle(density, table, tmp_path):
    density.save(tmp_path / "density")
    again = fm.FlowDensity.load(tmp_path / "density")
    np.testing.assert_allclose(again.score_samples(table), density.score_samples(table), rtol=1e-5)
    np.testing.assert_allclose(again.sample(5), density.sample(5), rtol=1e-5)
    assert again.get_params()["max_iter"] == 150
    assert not [path for path in (tmp_path / "density").rglob("*") if path.suffix in (".pkl", ".joblib")]
    with pytest.raises(FlowModelsError, match="not a saved estimator"):
        fm.FlowDensity.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "flow-1"), "No such file"),
        (lambda folder: shutil.rmtree(folder / "mixture-0"), "No such file"),
        (lambda folder: (folder / "mixture-1/mixture.npz").write_bytes(b"PK"), "mixture-1/mixture.npz has changed"),
        (lambda folder: rewrite(folder, "units", None), "'units' is missing from estimator.json"),
        (lambda folder: rewrite(folder, "params", {"depth": 3}), "unexpected keyword argument 'depth'"),
        (lambda folder: rewrite(folder, "format", 3), "a FlowDensity of format 3, not"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused_in_one_line(density, tmp_path, damage, message):
    density.save(tmp_path / "density")
    damage(tmp_path / "density")
    with pytest.raises(FlowModelsError, match=message) as refused:
        fm.FlowDensity.load(tmp_path / "density")
    assert "\n" not in str(refused.value)


def rewrite(folder, key, value):
    content = json.loads((folder / "estimator.json").read_text())
    if value is None:
        del content[key]
    (folder / "estimator.json").write_text(json.dumps(content if value is None else content | {key: value}))


def test_it_can_be_pickled_for_other_processes(density, table):
    again = pickle.loads(pickle.dumps(density))  # noqa: S301 - our own
    np.testing.assert_array_equal(again.score_samples(table), density.score_samples(table))


def test_two_densities_of_one_shape_do_not_share_what_they_learned(table):
    one = fm.FlowDensity(**TINY).fit(table)
    before = one.score_samples(table)
    two = fm.FlowDensity(**TINY | {"random_state": 1}).fit(table[:100])
    assert not np.allclose(two.score_samples(table), before)
    np.testing.assert_array_equal(one.score_samples(table), before)


def test_it_is_tuned_and_chained_as_any_other(table):
    search = GridSearchCV(fm.FlowDensity(**TINY), {"max_iter": [2, 20]}, cv=2).fit(table)
    assert search.best_params_["max_iter"] in (2, 20)
    assert cross_val_score(clone(search.best_estimator_), table, cv=2).shape == (2,)
    chain = make_pipeline(StandardScaler(), fm.FlowDensity(**TINY)).fit(table)
    assert np.isfinite(chain.score(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.where(x == 7, np.nan, x), "contains NaN"),
        (lambda x: np.where(x == 7, np.inf, x), "infinity"),
        (lambda x: x[:1], "1 sample"),
        (lambda x: x[:, 2:], "every column is constant"),
        (lambda x: x.astype(str).astype(object) + "a", "could not convert string"),
        (lambda x: x[:, 0], "Expected 2D array"),
    ],
)
def test_bad_rows_are_refused_in_one_line(table, change, message):
    with pytest.raises(ValueError, match=message):
        fm.FlowDensity(**TINY).fit(change(table))


def test_a_table_of_other_width_is_refused(density, table):
    with pytest.raises(ValueError, match="X has 2 features, but FlowDensity is expecting 3"):
        density.score_samples(table[:, :2])


def test_time_is_bounded_and_the_ending_says_so(table):
    density = fm.FlowDensity(**TINY | {"max_iter": 10**6, "max_seconds": 0.5}).fit(table)
    assert density.endings_[0].seconds < 3
    assert density.endings_[0].reason == "0.5 seconds are over"


def test_the_bar_says_which_flow_is_trained(table, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "flow_models.training.bar.tqdm", lambda **chosen: shown.append(chosen["desc"]) or tqdm(**chosen)
    )
    fm.FlowDensity(**TINY | {"n_estimators": 2, "max_iter": 2}).fit(table)
    assert shown == ["flow 1 of 2", "flow 2 of 2"]


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_very_few_rows_and_doubled_rows_are_enough(table, rows):
    doubled = np.vstack([table[:rows], table[:rows]])
    for x in (table[:rows], doubled):
        assert np.isfinite(fm.FlowDensity(**TINY).fit(x).score_samples(x)).all()


def test_ctrl_c_ends_a_fit_as_it_does_everywhere(table, monkeypatch):
    """Grid searches pass over an estimator that fails with an ordinary error, and would go on."""
    take, calls = Units.noisy, []

    def interrupted(units, rows, rng):
        calls.append(len(rows))
        if len(calls) == 5:  # units, scales, held-out rows and an epoch came before: training is on
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10 * HEARD_WITHIN)
        return take(units, rows, rng)

    monkeypatch.setattr(Units, "noisy", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            fm.FlowDensity(**TINY | {"max_iter": 100}).fit(table)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 5


def test_rows_may_lie_in_a_memory_mapped_file(table, tmp_path):
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", mode="w+", dtype=np.float32, shape=(100_000, 3))
    rows[:] = np.tile(table, (334, 1))[: len(rows)] + np.random.default_rng(0).normal(size=rows.shape)
    density = fm.FlowDensity(**TINY).fit(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    assert density.score_samples(rows).shape == (100_000,)
