from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flow_models.errors import FlowModelsError
from flow_models.evaluation.frozen import FrozenSet
from flow_models.evaluation.likelihood import bits_per_dim, dequantise
from flow_models.model import FlowModel

SHAPE = (4, 4, 1)
GLOW = {"image_shape": SHAPE, "levels": 1, "steps": 1, "hidden_channels": 4, "seed": 0}
VECTORS = {"features": 2, "layers": 2, "hidden": [4], "support": None, "seed": 0}


@pytest.fixture(scope="module")
def glow() -> FlowModel:
    return FlowModel("glow", GLOW)


@pytest.fixture
def images() -> FrozenSet:
    x = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)
    return FrozenSet(x=x, noise=dequantise(np.zeros((1, *SHAPE), np.uint8), seed=3)[0], batch_size=2)


@pytest.fixture
def vectors() -> FrozenSet:
    rng = np.random.default_rng(1)
    return FrozenSet(x=rng.normal(size=(7, 2)).astype(np.float32), context=rng.normal(size=(7, 3)).astype(np.float32))


def test_images_are_scored_in_bits_per_dim_with_the_noise_of_evaluation(glow: FlowModel, images: FrozenSet) -> None:
    log_prob = glow.log_prob(dequantise(images.x, seed=3))
    np.testing.assert_allclose(images.losses(glow), bits_per_dim(log_prob, 16), rtol=1e-6)
    assert images.unit == "bits/dim"


def test_vectors_are_scored_in_nats_given_their_observations(vectors: FrozenSet) -> None:
    model = FlowModel("realnvp", {**VECTORS, "context_width": 3})
    np.testing.assert_allclose(vectors.losses(model), -model.log_prob(vectors.x, vectors.context), rtol=1e-6)
    assert vectors.unit == "nats"
    assert vectors.inversion_error(model) < 1e-5


def test_the_inverse_of_a_flow_is_exact_and_that_of_a_broken_one_is_not(glow: FlowModel, images: FrozenSet) -> None:
    assert images.inversion_error(glow) < 1e-5
    broken = FlowModel("glow", GLOW)
    broken.decode = lambda z: glow.decode(z) + 128  # type: ignore[method-assign]
    assert images.inversion_error(broken) == pytest.approx(0.5, rel=1e-3)
    broken.decode = lambda z: glow.decode(z) * np.nan  # type: ignore[method-assign]
    assert images.inversion_error(broken) == np.inf


def test_the_digest_tells_examples_observations_and_noise_apart(images: FrozenSet, vectors: FrozenSet) -> None:
    assert vectors.context is not None
    assert images.noise is not None
    changed = [
        images,
        replace(images, x=images.x[::-1]),
        replace(images, noise=images.noise + 1),
        vectors,
        replace(vectors, context=vectors.context + 1),
    ]
    assert len({each.digest for each in changed}) == 5
    assert replace(images, batch_size=1).digest == images.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [({"context_width": 2}, "takes 2 observed values, these examples have 3"), ({}, "takes 0 observed values")],
)
def test_a_model_of_other_observations_is_refused(options: dict[str, int], message: str, vectors: FrozenSet) -> None:
    with pytest.raises(FlowModelsError, match=message):
        vectors.losses(FlowModel("realnvp", {**VECTORS, **options}))


def test_a_model_of_another_shape_is_refused(glow: FlowModel, vectors: FrozenSet) -> None:
    with pytest.raises(FlowModelsError, match=r"takes \(4, 4, 1\), these examples are \(2,\)"):
        vectors.losses(glow)
