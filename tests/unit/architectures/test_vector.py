"""Vector flows: what couplings transform, and flows trained for a few seconds."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import multivariate_normal
from sklearn.datasets import make_moons

from flow_models.data.lanes import WHOLE, Share
from flow_models.model import FlowModel
from flow_models.settings import TrainSettings
from flow_models.training import Outcome, TrainingData, train

BATCH = 250
SETTINGS = TrainSettings(epochs=30, batch_size=BATCH, learning_rate=0.005, warmup_steps=10, averaging=0.9)


def fit(model: FlowModel, *columns: np.ndarray, holdout: int, folder: Path) -> Outcome:
    """Train on all but the first rows."""
    training = [each[holdout:] for each in columns]

    def batches(epoch: int, skip: int, share: Share = WHOLE) -> Iterator[Any]:
        order = np.random.default_rng(epoch).permutation(len(training[0])).reshape(-1, BATCH)
        for rows in order[skip:]:
            batch = tuple(tf.constant(each[rows][share.rows(BATCH)]) for each in training)
            yield batch if len(batch) > 1 else batch[0]

    held_out = tuple(each[:holdout] for each in columns)
    data = TrainingData(
        batches,  # type: ignore[arg-type]
        len(training[0]) // BATCH,
        held_out if len(held_out) > 1 else held_out[0],  # type: ignore[arg-type]
    )
    return train(model, data, SETTINGS, seed=0, folder=folder / "model", checkpoints=folder / "checkpoints")


@pytest.mark.parametrize("architecture", ["realnvp", "spline_coupling"])
@pytest.mark.parametrize("features", [1, 2, 3, 5, 8])
def test_two_layers_transform_every_element(architecture: str, features: int) -> None:
    options, rng = {"features": features, "layers": 2, "hidden": [8]}, np.random.default_rng(0)
    model = FlowModel(architecture, options, dtype=tf.float64)
    for variable in model.bijector.trainable_variables:
        variable.assign_add(0.2 * rng.standard_normal(variable.shape))
    x = rng.standard_normal([64, features])
    moved = np.sort(model.encode(x), axis=1) != np.sort(x, axis=1)
    assert moved.any(axis=0).all()
    np.testing.assert_allclose(model.decode(model.encode(x)), x, atol=1e-7)


@pytest.mark.parametrize("seed", [0, 1])
def test_of_two_elements_the_couplings_transform_each_in_turn(seed: int) -> None:
    model = FlowModel("spline_coupling", {"features": 2, "layers": 6, "hidden": [8], "seed": seed})
    orders = [each.numpy().tolist() for each in model.bijector.variables if each.name.startswith("order")]
    assert orders == [[1, 0]] * 6


def test_couplings_that_see_one_element_bend_in_different_places() -> None:
    model = FlowModel("spline_coupling", {"features": 2, "layers": 1, "hidden": [8]})
    (biases,) = [each.numpy() for each in model.trainable_variables if each.shape == [8]]
    assert len(set(biases)) == 8


def test_a_spline_flow_beats_a_gaussian_on_two_moons(tmp_path: Path) -> None:
    x = make_moons(4000, noise=0.05, random_state=0)[0].astype(np.float32)
    model = FlowModel("spline_coupling", {"features": 2, "layers": 6, "hidden": [32, 32]})
    outcome = fit(model, x, holdout=1000, folder=tmp_path)
    gaussian = multivariate_normal(x[1000:].mean(axis=0), np.cov(x[1000:].T))
    log_prob = FlowModel.load(tmp_path / "model").log_prob(x[:1000])
    assert outcome.unit == "nats"
    assert float(np.mean(log_prob)) == pytest.approx(-outcome.holdout, abs=1e-4)
    assert np.mean(log_prob) > np.mean(gaussian.logpdf(x[:1000])) + 1.0
    assert "holdout_nats" in next(csv.DictReader((tmp_path / "model/history.csv").open()))


def test_a_conditional_flow_learns_what_the_context_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    context = rng.uniform(-100, 100, [3000, 1]).astype(np.float32)
    x = (context / 100 + 0.1 * rng.standard_normal([3000, 2])).astype(np.float32)
    options = {"features": 2, "layers": 4, "hidden": [32], "context_width": 1, "context_features": 4}
    fit(FlowModel("realnvp", options), x, context, holdout=500, folder=tmp_path)
    model = FlowModel.load(tmp_path / "model")
    for each in (-50.0, 50.0):
        samples = model.sample(500, context=np.array([[each]]))
        np.testing.assert_allclose(np.mean(samples, axis=0), each / 100, atol=0.05)
        np.testing.assert_allclose(np.std(samples, axis=0), 0.1, atol=0.05)
    rows = np.array([[-50.0], [50.0]], np.float32)
    likely, unlikely = (
        model.log_prob(rows.repeat(2, axis=1) / 100, rows),
        model.log_prob(rows.repeat(2, axis=1) / 100, -rows),
    )
    assert np.all(likely - unlikely > 5)


def test_samples_never_leave_their_support() -> None:
    options = {"features": 2, "layers": 2, "hidden": [8], "support": [(0, 1), (5, None)]}
    model = FlowModel("spline_coupling", options)
    samples = model.sample(1000, temperature=50.0)
    assert np.all((samples[:, 0] > 0) & (samples[:, 0] < 1) & (samples[:, 1] > 5))


def test_aligned_whitening_leaves_elements_that_are_alone_to_themselves() -> None:
    """Of elements that hardly move together the principal axes are any; aligned, each latent follows its own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    flow = FlowModel("spline_coupling", {"features": 4, "layers": 2, "hidden": [8], "whiten": True, "aligned": True})
    flow.initialise(tf.constant(x))
    units = flow.bijector._bijectors[0]
    z = units.inverse_and_log_det(tf.constant(x))[0].numpy()
    assert (np.diag(np.corrcoef(x.T, z.T)[:4, 4:]) > 0.99).all()
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(4), atol=1e-4)
    np.testing.assert_allclose(units.forward_and_log_det(tf.constant(z))[0], x, atol=1e-4)
