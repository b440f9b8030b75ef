from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import pdist
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, norm

from flow_models.base import BASES, ClassMeans, ObservedPart, StandardNormal, build_base
from flow_models.model import FlowModel
from flow_models.partition import Partition

WIDTH, KNOWN, CLASSES = 3, 2, 2
SHARES = [0.75, 0.25]
OPTIONS: dict[str, dict[str, Any]] = {  # every kind; test_every_kind_is_tested fails when one is missing
    "standard_normal": {},
    "observed_part": {"start": 0.5},
    "class_means": {"shares": SHARES, "class_weight": 3.0, "label_smoothing": 0.1},
}


def partition(kind: str) -> Partition:
    return Partition(x=WIDTH, y=0 if kind == "standard_normal" else KNOWN)


def base_of(kind: str, *, initialised: bool = True) -> StandardNormal:
    """In float64, its learned parts away from their start."""
    base, rng = build_base(kind, partition(kind), **OPTIONS[kind], dtype=tf.float64), np.random.default_rng(0)
    if initialised and kind == "observed_part":
        base.initialise(tf.constant(5 + 2 * rng.standard_normal([1000, KNOWN])))
    for variable in base.trainable_variables:
        variable.assign_add(0.3 * rng.standard_normal(variable.shape))
    return base


def context_of(kind: str, number: int = 1) -> tf.Tensor | None:
    rows = {"observed_part": [[4.0, 7.0]], "class_means": [[0.0, 1.0]]}
    return tf.constant(np.repeat(rows[kind], number, axis=0)) if kind in rows else None


def test_every_kind_is_tested() -> None:
    assert set(OPTIONS) == set(BASES)


@pytest.mark.parametrize("kind", BASES)
def test_the_density_integrates_to_one(kind: str) -> None:
    base, rng = base_of(kind), np.random.default_rng(1)
    # Importance sampling from a wide normal distribution around the base's own mean.
    center = np.asarray(base.place(tf.zeros([1, WIDTH], tf.float64), context_of(kind)))
    proposal = multivariate_normal(center[0], 2.25 * np.eye(WIDTH))
    latent = proposal.rvs(200_000, random_state=rng)
    log_prob = np.asarray(base.log_prob(tf.constant(latent), context_of(kind, len(latent))))
    assert abs(np.exp(log_prob - proposal.logpdf(latent)).mean() - 1) < 0.02


@pytest.mark.parametrize("kind", BASES)
def test_what_is_placed_has_the_density(kind: str) -> None:
    base, rng = base_of(kind), np.random.default_rng(2)
    noise = rng.standard_normal([50_000, WIDTH])
    context = context_of(kind, len(noise))
    latent = base.place(tf.constant(noise), context)
    # -E[log p] of its own draws is the entropy, which of normal distributions is known.
    scales = np.exp(base._log_scale.numpy()) if isinstance(base, ObservedPart | ClassMeans) else np.ones(1)
    entropy = WIDTH / 2 * np.log(2 * np.pi * np.e) + np.log(scales).sum()
    assert abs(-np.asarray(base.log_prob(latent, context)).mean() - entropy) < 0.02


def test_the_standard_normal_is_scipys() -> None:
    z = np.random.default_rng(3).standard_normal([5, WIDTH])
    expected = multivariate_normal(np.zeros(WIDTH)).logpdf(z)
    np.testing.assert_allclose(base_of("standard_normal").log_prob(tf.constant(z)), expected)


def test_an_observed_part_lies_about_the_observation_in_its_units() -> None:
    base = base_of("observed_part")
    assert isinstance(base, ObservedPart)
    observed, latent = np.array([[4.0, 7.0]]), np.array([[0.1, -0.4, 1.5]])
    rng = np.random.default_rng(0)
    first_batch = 5 + 2 * rng.standard_normal([1000, KNOWN])
    center = (observed - first_batch.mean(axis=0)) / first_batch.std(axis=0)
    expected = norm(center, np.exp(base._log_scale)).logpdf(latent[:, :KNOWN]).sum() + norm.logpdf(1.5)
    np.testing.assert_allclose(base.log_prob(tf.constant(latent), tf.constant(observed)), expected, rtol=1e-3)


def test_class_means_are_a_mixture_by_bayes_rule() -> None:
    base = base_of("class_means")
    assert isinstance(base, ClassMeans)
    latent = np.random.default_rng(4).standard_normal([6, WIDTH])
    scale = np.append(np.exp(base._log_scale), np.ones(WIDTH - KNOWN))
    means = np.hstack([base._means.numpy(), np.zeros([CLASSES, WIDTH - KNOWN])]) * scale
    normals = [multivariate_normal(mean, np.diag(scale**2)) for mean in means]
    joint = np.stack([each.logpdf(latent) for each in normals], axis=1) + np.log(SHARES)
    np.testing.assert_allclose(base.joint_log_prob(tf.constant(latent)), joint)
    first = np.tile([1.0, 0.0], (6, 1))
    np.testing.assert_allclose(base.log_prob(tf.constant(latent), tf.constant(first)), joint[:, 0] - np.log(SHARES[0]))


@pytest.mark.parametrize(("classes", "width"), [(2, 1), (8, 2), (10, 64)])
def test_the_classes_start_apart_and_together_about_as_wide_as_a_standard_normal(classes: int, width: int) -> None:
    base = ClassMeans(Partition(x=width, y=width), shares=[1 / classes] * classes, separation=6.0, dtype=tf.float64)
    assert pdist(base._means).min() == pytest.approx(6)
    noise = np.random.default_rng(9).standard_normal([20_000, width])
    labels = tf.one_hot(np.arange(20_000) % classes, classes, dtype=tf.float64)
    np.testing.assert_allclose(np.std(base.place(tf.constant(noise), labels), axis=0), 1, atol=0.03)


def test_the_loss_of_classes_is_that_of_x_and_the_weighted_smoothed_one_of_the_label() -> None:
    base = base_of("class_means")
    latent = tf.constant(np.random.default_rng(5).standard_normal([6, WIDTH]))
    joint = np.asarray(base.joint_log_prob(latent))
    of_label = np.log(softmax(joint, axis=1)) @ [0.05, 0.95]
    expected = -logsumexp(joint, axis=1) - 3.0 * of_label
    np.testing.assert_allclose(base.loss(latent, context_of("class_means", 6)), expected)


def test_without_weight_and_smoothing_the_loss_of_classes_is_the_exact_joint_one() -> None:
    base = build_base("class_means", partition("class_means"), shares=SHARES, dtype=tf.float64)
    latent = tf.constant(np.random.default_rng(6).standard_normal([6, WIDTH]))
    np.testing.assert_allclose(
        base.loss(latent, context_of("class_means", 6)), -np.asarray(base.joint_log_prob(latent))[:, 1]
    )


@pytest.mark.parametrize("kind", ["standard_normal", "observed_part"])
def test_the_loss_without_classes_is_the_negative_log_likelihood(kind: str) -> None:
    base, latent = base_of(kind), tf.constant(np.random.default_rng(7).standard_normal([4, WIDTH]))
    context = context_of(kind, 4)
    np.testing.assert_allclose(base.loss(latent, context), -np.asarray(base.log_prob(latent, context)))


@pytest.mark.parametrize("kind", BASES)
def test_a_model_is_loaded_with_its_base_as_it_was(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    base = {"kind": kind, "y": partition(kind).y, **OPTIONS[kind]}
    about = {"x": ["a", "b", "c"], "classes": ["one", "two"]}
    model = FlowModel("realnvp", {"features": WIDTH, "layers": 2, "hidden": [4]}, base=base, about=about)
    x = rng.standard_normal([20, WIDTH]).astype(np.float32)
    rows = context_of(kind, 20)
    context = [] if rows is None else [tf.cast(rows, tf.float32)]
    model.initialise(tf.constant(x), *context)
    for variable in model.trainable_variables:
        variable.assign_add(tf.cast(0.1 * rng.standard_normal(variable.shape), tf.float32))
    model.save(tmp_path / "model")
    loaded = FlowModel.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.log_prob(x, *context), model.log_prob(x, *context))
    np.testing.assert_array_equal(loaded.loss(x, *context), model.loss(x, *context))
    assert (loaded.about, loaded.classes, loaded.partition) == (about, model.classes, model.partition)
