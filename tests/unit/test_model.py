from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from flow_models.applications.image_scores import examine
from flow_models.errors import FlowModelsError
from flow_models.evaluation.likelihood import dequantise
from flow_models.evaluation.outlier_score import OutlierScore
from flow_models.model import FlowModel, to_images
from flow_models.saved_model import ImageServing, Serving, export

OPTIONS = {"image_shape": (4, 4, 1), "levels": 1, "steps": 2, "hidden_channels": 8}


@pytest.fixture
def model() -> FlowModel:
    """A flow away from its start."""
    model, noise = FlowModel("glow", OPTIONS), np.random.default_rng(0)
    for variable in model.bijector.trainable_variables:
        variable.assign_add(tf.cast(0.2 * noise.standard_normal(variable.shape), tf.float32))
    return model


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 256, [5, 4, 4, 1]).astype(np.float32)


def test_the_density_is_the_change_of_variables(model: FlowModel, x: np.ndarray) -> None:
    with tf.GradientTape() as tape:
        data = tf.constant(x)
        tape.watch(data)
        z = model.encode(data)
    jacobian = tf.reshape(tape.batch_jacobian(z, data), [5, 16, 16])
    normal = -0.5 * tf.reduce_sum(z**2, axis=-1) - 8 * np.log(2 * np.pi)
    np.testing.assert_allclose(model.log_prob(x), normal + np.linalg.slogdet(jacobian)[1], rtol=1e-4)


def test_a_flow_at_its_start_gives_the_bits_of_a_gaussian_on_the_8_bit_scale() -> None:
    model = FlowModel("glow", {**OPTIONS, "steps": 1})
    x = np.full([1, 4, 4, 1], 128, np.float32)
    # N(128, 256^2) at its mean, whatever rotation the flow starts with: log2(256 * sqrt(2 pi)) bits.
    bits = -model.log_prob(x) / (16 * np.log(2))
    np.testing.assert_allclose(bits, np.log2(256 * np.sqrt(2 * np.pi)), rtol=1e-5)


def test_decode_undoes_encode(model: FlowModel, x: np.ndarray) -> None:
    np.testing.assert_allclose(model.decode(model.encode(x)), x, atol=1e-2)


def test_samples_are_the_same_for_the_same_seed_only(model: FlowModel) -> None:
    one, again, other = (model.sample(4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)


def test_temperature_zero_is_the_mode_of_the_latent(model: FlowModel) -> None:
    np.testing.assert_allclose(model.sample(2, temperature=0.0), model.decode(np.zeros([2, 16], np.float32)))


def test_images_are_the_bins_that_samples_fall_into() -> None:
    np.testing.assert_array_equal(to_images(np.array([-3.0, 0.0, 0.99, 1.0, 255.9, 300.0])), [0, 0, 0, 1, 255, 255])


def test_a_process_that_never_saw_the_settings_loads_the_same_model(
    model: FlowModel, x: np.ndarray, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np; from flow_models.model import FlowModel;"
        "model = FlowModel.load(sys.argv[1] + '/model');"
        "np.save(sys.argv[1] + '/y.npy', model.log_prob(np.load(sys.argv[1] + '/x.npy')))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.log_prob(x), rtol=1e-6)


def test_saving_leaves_only_json_and_tensors(model: FlowModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["model.json", "weights.data-00000-of-00001", "weights.index"]


def test_a_damaged_model_is_refused(model: FlowModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    weights = tmp_path / "model/weights.data-00000-of-00001"
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(FlowModelsError, match="the weights are damaged"):
        FlowModel.load(tmp_path / "model")


@pytest.mark.parametrize("content", [None, "{}", "[]", "not json", '"text"'])
def test_what_is_no_model_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    with pytest.raises(FlowModelsError, match="not a flow model"):
        FlowModel.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": None, "architecture": "butterfly"}, "describes no flow"),
        ({"options": {"image_shape": [4, 4, 1]}}, "describes no flow"),
        ({"options": "many"}, "describes no flow"),
        ({"base": {"kind": "cube"}}, "describes no flow"),
        ({"architecture": "realnvp", "options": {"features": 2, "layers": 1, "hidden": [2]}}, "not those of the flow"),
    ],
)
def test_a_description_of_another_thing_is_refused(
    model: FlowModel, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    model.save(tmp_path / "model")
    file = tmp_path / "model/model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(FlowModelsError, match=message):
        FlowModel.load(tmp_path / "model")


def test_a_later_format_is_refused(model: FlowModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    description = json.loads((tmp_path / "model/model.json").read_text())
    (tmp_path / "model/model.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(FlowModelsError, match="a model of format 99"):
        FlowModel.load(tmp_path / "model")


def test_the_saved_model_scores_and_samples_as_the_model_does(model: FlowModel, tmp_path: Path) -> None:
    images = np.random.default_rng(2).integers(0, 256, [63, 4, 4, 1], np.uint8)
    images[62] = 0
    score = OutlierScore.fit(
        *(examine(model, each, noise_seed=0) for each in (images[:30], images[30:60])), noise_seed=0
    )
    export(ImageServing(model, score), tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    images = images[60:]
    wanted = examine(model, images, noise_seed=0)
    bits = tf.constant(wanted["compressor_bits"])
    scores = served.signatures["score"](images=tf.constant(images), compressor_bits=bits)
    log_prob = model.log_prob(dequantise(images, seed=0))
    np.testing.assert_allclose(scores["log_prob"], log_prob, rtol=1e-6)
    np.testing.assert_allclose(scores["bits_per_dim"], -log_prob / (16 * np.log(2)), rtol=1e-6)
    for name in ("typicality", "input_complexity"):
        np.testing.assert_allclose(scores[name], score.scores(wanted)[name], rtol=1e-6)
    np.testing.assert_allclose(scores["score"], score.score(wanted), rtol=1e-6)
    np.testing.assert_array_equal(scores["p_value"], score.p_values(wanted))
    x = tf.cast(images, tf.float32)
    z = served.signatures["encode"](x=x)["z"]
    np.testing.assert_allclose(z, model.encode(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(served.signatures["decode"](z=z)["x"], x, atol=1e-2)
    np.testing.assert_allclose(served.signatures["log_prob"](x=x)["log_prob"], model.log_prob(x), rtol=1e-6)
    wanted = {"number": tf.constant(4), "seed": tf.constant(1), "temperature": tf.constant(0.7)}
    drawn = served.signatures["sample"](**wanted)["images"]
    np.testing.assert_array_equal(drawn, to_images(model.sample(4, seed=1, temperature=0.7)))


@pytest.mark.parametrize("context_width", [None, 2])
def test_the_saved_model_has_the_density_and_both_directions_of_any_model(
    context_width: int | None, tmp_path: Path
) -> None:
    model = FlowModel(
        "spline_coupling", {"features": 3, "layers": 2, "hidden": [8], "bins": 4, "context_width": context_width}
    )
    export(Serving(model), tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures
    x = tf.random.stateless_normal([5, 3], seed=(0, 1))
    given = {} if context_width is None else {"context": tf.random.stateless_normal([5, 2], seed=(0, 2))}
    z = served["encode"](x=x, **given)["z"]
    np.testing.assert_allclose(z, model.encode(x, *given.values()), rtol=1e-6)
    np.testing.assert_allclose(served["decode"](z=z, **given)["x"], x, atol=1e-5)
    log_prob = served["log_prob"](x=x, **given)["log_prob"]
    np.testing.assert_allclose(log_prob, model.log_prob(x, *given.values()), rtol=1e-6)
    drawn = served["sample"](number=tf.constant(5), seed=tf.constant(3), temperature=tf.constant(0.7), **given)["x"]
    np.testing.assert_allclose(drawn, model.sample(5, seed=3, temperature=0.7, **given), rtol=1e-6)
