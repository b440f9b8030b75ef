"""Every bijector of the package, each property once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from flow_models import bijectors
from flow_models.architectures import realnvp, spline_coupling
from flow_models.architectures.glow import glow
from flow_models.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    Checkerboard,
    Conditional,
    Dequantiser,
    Flatten,
    FusedBijector,
    GlowStep,
    Inverted,
    InvertibleConv,
    MultiScale,
    Permutation,
    RationalQuadraticSplineCoupling,
    Repeat,
    Rescale,
    SingleIndex,
    Squeeze,
    Standardise,
    Support,
    Whiten,
)
from flow_models.bijectors.networks import ConvNetwork, ConvResidualNetwork, DenseNetwork

F64 = tf.float64
SHAPE = (4, 4, 4)
BATCH = 3


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def coupling(dtype: tf.DType) -> AffineCoupling:
    network = ConvNetwork(inputs=2, outputs=4, hidden=8, rng=rng(), dtype=dtype)
    return AffineCoupling(event_shape=SHAPE, passed=2, network=network, dtype=dtype)


def spline(dtype: tf.DType, *, context_width: int | None = None) -> FusedBijector:
    network = DenseNetwork(inputs=2 + (context_width or 0), outputs=3 * 11, hidden=[8, 8], rng=rng(), dtype=dtype)
    return RationalQuadraticSplineCoupling(
        event_shape=(5,), passed=2, network=network, bins=4, bound=2.0, context_width=context_width, dtype=dtype
    )


def spline_on_images(dtype: tf.DType) -> FusedBijector:
    network = ConvResidualNetwork(inputs=2, outputs=2 * 8, hidden=8, blocks=1, rng=rng(), dtype=dtype)
    return RationalQuadraticSplineCoupling(event_shape=SHAPE, passed=2, network=network, bins=3, dtype=dtype)


def on_checkerboard(dtype: tf.DType) -> FusedBijector:
    """One colour of the board is transformed, by what the network sees of the other."""
    board = Checkerboard(data_shape=(4, 4, 2), dtype=dtype)
    network = ConvNetwork(inputs=2, outputs=4, hidden=8, rng=rng(), dtype=dtype)
    inside = AffineCoupling(event_shape=board.latent_shape, passed=2, network=network, dtype=dtype)
    return Chain([board, inside, Inverted(board)])


def conditional(dtype: tf.DType) -> FusedBijector:
    network = DenseNetwork(inputs=3, outputs=2, hidden=[8], last_gain=1.0, rng=rng(), dtype=dtype)
    return Conditional(spline(dtype, context_width=2), network=network, context_width=3)


def standardise(dtype: tf.DType) -> FusedBijector:
    bijector = Standardise(event_shape=(5,), dtype=dtype)
    bijector.initialise(3 * tf.random.stateless_normal([20, 5], seed=(0, 3), dtype=dtype) + 1)
    return bijector


def whiten(dtype: tf.DType, *, kind: type[FusedBijector] = Whiten, context_width: int | None = None) -> FusedBijector:
    bijector = kind(event_shape=(5,), context_width=context_width, dtype=dtype)
    normal = tf.random.stateless_normal([40, 5 + (context_width or 0)], seed=(0, 3), dtype=dtype)
    mixed = normal @ tf.random.stateless_normal([normal.shape[1]] * 2, seed=(0, 5), dtype=dtype) + 1
    bijector.initialise(mixed[:, :5], **bijector.given(mixed[:, 5:]))
    return bijector


VECTOR = {"features": 5, "layers": 2, "hidden": [8, 8]}


def glow_step(dtype: tf.DType) -> GlowStep:
    actnorm = ActNorm(event_shape=SHAPE, dtype=dtype)
    conv = InvertibleConv(event_shape=SHAPE, rng=rng(), dtype=dtype)
    return GlowStep(actnorm=actnorm, conv=conv, coupling=coupling(dtype))


def multi_scale(dtype: tf.DType) -> MultiScale:
    fine = Chain([Squeeze(data_shape=(4, 4, 1), dtype=dtype), ActNorm(event_shape=(2, 2, 4), dtype=dtype)])
    coarse = Chain([Squeeze(data_shape=(2, 2, 2), dtype=dtype), ActNorm(event_shape=(1, 1, 8), dtype=dtype)])
    return MultiScale([fine, coarse])


# Every bijector by name; test_the_table_is_complete fails when one is missing.
BIJECTORS: dict[str, Callable[[tf.DType], FusedBijector]] = {
    "ActNorm": lambda dtype: ActNorm(event_shape=SHAPE, dtype=dtype),
    "ActNorm on vectors": lambda dtype: ActNorm(event_shape=(5,), dtype=dtype),
    "AffineCoupling": coupling,
    "AffineCoupling on a checkerboard": on_checkerboard,
    "Chain": lambda dtype: Chain([ActNorm(event_shape=SHAPE, dtype=dtype), coupling(dtype)]),
    "Checkerboard": lambda dtype: Checkerboard(data_shape=(3, 4, 2), dtype=dtype),
    "Conditional": conditional,
    "Dequantiser": lambda dtype: Dequantiser(event_shape=(4, 4, 1), hidden=8, rng=rng(), dtype=dtype),
    "Dequantiser in colour": lambda dtype: Dequantiser(event_shape=(4, 4, 3), hidden=8, rng=rng(), dtype=dtype),
    "Flatten": lambda dtype: Flatten(data_shape=SHAPE, dtype=dtype),
    "GlowStep": glow_step,
    "Inverted": lambda dtype: Inverted(ActNorm(event_shape=SHAPE, dtype=dtype)),
    "InvertibleConv": lambda dtype: InvertibleConv(event_shape=SHAPE, rng=rng(), dtype=dtype),
    "InvertibleConv on vectors": lambda dtype: InvertibleConv(event_shape=(5,), rng=rng(), dtype=dtype),
    "MultiScale": multi_scale,
    "Repeat": lambda dtype: Repeat(lambda: glow_step(dtype), times=3),
    "Repeat, reversible": lambda dtype: Repeat(lambda: glow_step(dtype), times=3, reversible=True),
    "Permutation": lambda dtype: Permutation(event_shape=(5,), order=[3, 1, 4, 0, 2], dtype=dtype),
    "RationalQuadraticSplineCoupling": spline,
    "RationalQuadraticSplineCoupling on images": spline_on_images,
    "RationalQuadraticSplineCoupling with a context": lambda dtype: spline(dtype, context_width=2),
    "Rescale": lambda dtype: Rescale(event_shape=SHAPE, scale=3.0, shift=1.0, dtype=dtype),
    "SingleIndex with a context": lambda dtype: whiten(dtype, kind=SingleIndex, context_width=3),
    "Squeeze": lambda dtype: Squeeze(data_shape=SHAPE, dtype=dtype),
    "Standardise": standardise,
    "Support": lambda dtype: Support(low=[-4, -4, None, None, -9], high=[5, None, 6, None, 9], dtype=dtype),
    "Whiten": whiten,
    "Whiten with a context": lambda dtype: whiten(dtype, context_width=3),
    "glow": lambda dtype: glow(image_shape=(8, 8, 1), levels=2, steps=2, hidden_channels=8, dtype=dtype),
    "glow, reversible": lambda dtype: glow(
        image_shape=(8, 8, 1), levels=2, steps=2, hidden_channels=8, dtype=dtype, reversible=True
    ),
    "glow with dense couplings": lambda dtype: glow(
        image_shape=(4, 4, 1), levels=1, steps=1, hidden_channels=8, dense_layers=2, dtype=dtype
    ),
    "glow in colour, not square": lambda dtype: glow(
        image_shape=(8, 4, 3), levels=2, steps=1, hidden_channels=8, dtype=dtype
    ),
    "glow with shaped noise": lambda dtype: glow(
        image_shape=(4, 4, 3), levels=1, steps=1, hidden_channels=8, noise_channels=8, dtype=dtype
    ),
    "realnvp": lambda dtype: realnvp(**VECTOR, dtype=dtype),
    "realnvp with a context, inside a support": lambda dtype: realnvp(
        **VECTOR, context_width=3, context_features=4, support=[(-4, 6)] * 5, residual=True, dtype=dtype
    ),
    "spline_coupling": lambda dtype: spline_coupling(**VECTOR, bins=4, dtype=dtype),
    "realnvp with a context, whitened": lambda dtype: realnvp(
        **VECTOR, context_width=3, context_features=4, whiten=True, dtype=dtype
    ),
    "realnvp with a set as context": lambda dtype: realnvp(
        **VECTOR, context_width=6, context_elements=3, context_order=False, context_features=4, whiten=True, dtype=dtype
    ),
    "realnvp with a series as context": lambda dtype: realnvp(
        **VECTOR, context_width=10, context_elements=5, context_features=4, whiten=True, dtype=dtype
    ),
    "spline_coupling with a context": lambda dtype: spline_coupling(**VECTOR, bins=4, context_width=3, dtype=dtype),
    "spline_coupling with a context, aligned": lambda dtype: spline_coupling(
        **VECTOR, bins=4, context_width=3, whiten=True, aligned=True, dtype=dtype
    ),
}
every_bijector = pytest.mark.parametrize("name", BIJECTORS)


def perturbed(name: str, dtype: tf.DType = F64, *, by: float = 0.2) -> FusedBijector:
    """The bijector away from its start, where couplings are the identity and scales are one."""
    bijector, noise = BIJECTORS[name](dtype), np.random.default_rng(1)
    for variable in bijector.trainable_variables:
        variable.assign_add(tf.cast(by * noise.standard_normal(variable.shape), dtype))
    return bijector


def data_of(bijector: FusedBijector, dtype: tf.DType = F64) -> tf.Tensor:
    return tf.random.stateless_normal([BATCH, *bijector.data_shape], seed=(0, 1), dtype=dtype)


def context_of(bijector: FusedBijector, dtype: tf.DType = F64) -> dict[str, tf.Tensor]:
    """The context of a conditional bijector, as the keyword that its methods take; nothing for the others."""
    context = tf.random.stateless_normal([BATCH, bijector.context_width or 0], seed=(0, 4), dtype=dtype)
    return bijector.given(context)


def latents_of(bijector: FusedBijector, dtype: tf.DType = F64) -> tf.Tensor:
    return tf.random.stateless_normal([BATCH, *bijector.latent_shape], seed=(0, 2), dtype=dtype)


def test_the_table_is_complete() -> None:
    tested = {name.split()[0].rstrip(",") for name in BIJECTORS} | {"FusedBijector"}
    assert set(bijectors.__all__) <= tested


@every_bijector
def test_shapes_are_those_it_names(name: str) -> None:
    bijector = perturbed(name)
    x, z = data_of(bijector), latents_of(bijector)
    context = context_of(bijector)
    assert bijector.inverse(x, **context).shape == z.shape == bijector.inverse_event_shape(x.shape)
    assert bijector.forward(z, **context).shape == x.shape == bijector.forward_event_shape(z.shape)
    assert tuple(bijector.forward_event_shape_tensor(tf.shape(z))) == x.shape
    assert tuple(bijector.inverse_event_shape_tensor(tf.shape(x))) == z.shape


@every_bijector
def test_inverse_undoes_forward_and_forward_inverse(name: str) -> None:
    bijector = perturbed(name)
    x, z, context = data_of(bijector), latents_of(bijector), context_of(bijector)
    # A fresh tensor each: TFP would answer from its cache.
    np.testing.assert_allclose(
        bijector.forward(tf.identity(bijector.inverse(x, **context)), **context), x, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        bijector.inverse(tf.identity(bijector.forward(z, **context)), **context), z, rtol=1e-9, atol=1e-9
    )


@every_bijector
def test_float32_inverts_to_rounding(name: str) -> None:
    bijector = perturbed(name, tf.float32, by=0.05)  # as well conditioned as a trained one
    unit = 256.0 if name.startswith("glow") else 1.0  # what counts as 1 on the data side
    x = unit * data_of(bijector, tf.float32)
    context = context_of(bijector, tf.float32)
    error = np.abs(bijector.forward(tf.identity(bijector.inverse(x, **context)), **context) - x) / unit
    assert error.max() < 1e-4


@every_bijector
def test_forward_log_det_is_that_of_the_full_jacobian(name: str) -> None:
    bijector = perturbed(name)
    z, context = latents_of(bijector), context_of(bijector)
    with tf.GradientTape() as tape:
        tape.watch(z)
        x = bijector.forward_and_log_det(z, **context)[0]
    jacobian = tf.reshape(tape.batch_jacobian(x, z), [BATCH, np.prod(x.shape[1:]), np.prod(z.shape[1:])])
    log_det = bijector.forward_log_det_jacobian(z, event_ndims=z.shape.rank - 1, **context)
    np.testing.assert_allclose(tf.broadcast_to(log_det, [BATCH]), np.linalg.slogdet(jacobian)[1], rtol=1e-9, atol=1e-9)


@every_bijector
def test_inverse_log_det_is_that_of_the_full_jacobian(name: str) -> None:
    bijector = perturbed(name)
    x, context = data_of(bijector), context_of(bijector)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = bijector.inverse_and_log_det(x, **context)[0]
    jacobian = tf.reshape(tape.batch_jacobian(z, x), [BATCH, np.prod(z.shape[1:]), np.prod(x.shape[1:])])
    log_det = bijector.inverse_log_det_jacobian(x, event_ndims=x.shape.rank - 1, **context)
    np.testing.assert_allclose(tf.broadcast_to(log_det, [BATCH]), np.linalg.slogdet(jacobian)[1], rtol=1e-9, atol=1e-9)


@every_bijector
def test_the_likelihood_has_a_gradient_in_every_weight(name: str) -> None:
    bijector = perturbed(name)
    with tf.GradientTape() as tape:
        z, log_det = bijector.inverse_and_log_det(data_of(bijector), **context_of(bijector))
        loss = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
    for variable, gradient in zip(
        bijector.trainable_variables, tape.gradient(loss, bijector.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.name
        assert np.any(gradient != 0), variable.name


@every_bijector
def test_a_batch_is_its_examples_one_by_one(name: str) -> None:
    bijector = perturbed(name)
    x, context = data_of(bijector), context_of(bijector)
    together, log_det = bijector.inverse_and_log_det(x, **context)
    for index in range(BATCH):
        its_context = {name: each[index : index + 1] for name, each in context.items()}
        alone, own = bijector.inverse_and_log_det(x[index : index + 1], **its_context)
        np.testing.assert_allclose(alone[0], together[index], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            tf.broadcast_to(own, [1])[0], tf.broadcast_to(log_det, [BATCH])[index], rtol=1e-10, atol=1e-12
        )


@every_bijector
def test_saved_weights_restore_the_same_bijection(name: str, tmp_path: object) -> None:
    bijector, other = perturbed(name), BIJECTORS[name](F64)
    path = tf.train.Checkpoint(bijector=bijector).write(f"{tmp_path}/weights")
    tf.train.Checkpoint(bijector=other).read(path).assert_consumed()
    x, context = data_of(bijector), context_of(bijector)
    restored = other.inverse_and_log_det(x, **context)[0]
    np.testing.assert_array_equal(restored, bijector.inverse_and_log_det(x, **context)[0])


@every_bijector
def test_it_is_a_tfp_bijector_that_distributions_take(name: str) -> None:
    bijector = perturbed(name)
    base = tfp.distributions.Independent(
        tfp.distributions.Normal(tf.zeros(bijector.latent_shape, F64), tf.ones([], F64)),
        reinterpreted_batch_ndims=len(bijector.latent_shape),
    )
    x, context = data_of(bijector), context_of(bijector)
    z, log_det = bijector.inverse_and_log_det(x, **context)
    transformed = tfp.distributions.TransformedDistribution(base, bijector)
    log_prob = transformed.log_prob(x, bijector_kwargs=context)
    np.testing.assert_allclose(log_prob, base.log_prob(z) + log_det, rtol=1e-10)


@pytest.mark.parametrize("name", [name for name in BIJECTORS if "context" in name or name == "Conditional"])
def test_a_conditional_bijector_depends_on_its_context(name: str) -> None:
    bijector = perturbed(name)
    x, context = data_of(bijector), context_of(bijector)
    other = {"context": context["context"] + 1}
    assert np.any(bijector.inverse_and_log_det(x, **context)[0] != bijector.inverse_and_log_det(x, **other)[0])


@every_bijector
def test_its_repr_names_it(name: str) -> None:
    bijector = BIJECTORS[name](F64)
    assert type(bijector).__name__ in repr(bijector)
