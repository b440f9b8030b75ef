from __future__ import annotations

import pytest
import tensorflow as tf

from flow_models.training import precision


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(wanted: precision.Precision) -> None:
    assert precision.choose_precision(wanted) == tf.as_dtype(wanted)


@pytest.mark.parametrize("faster", [tf.float32, tf.bfloat16])
def test_auto_takes_what_is_measured_to_be_faster(monkeypatch: pytest.MonkeyPatch, faster: tf.DType) -> None:
    monkeypatch.setattr(precision, "_seconds_per_convolution", lambda dtype: 1.0 if dtype == faster else 2.0)
    assert precision.choose_precision("auto") == faster


def test_a_convolution_takes_some_time_in_either_type() -> None:
    assert all(precision._seconds_per_convolution(dtype) > 0 for dtype in (tf.float32, tf.bfloat16))
