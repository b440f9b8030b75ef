"""Trade resolution for channels."""

from __future__ import annotations

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Squeeze(FusedBijector):
    r"""Each 2×2 block of pixels becomes one pixel of four times the channels.

    - forward:  ``x[2i+a, 2j+b, k] = z[i, j, (2a+b)·c + k]``
    - inverse:  ``z[i, j, (2a+b)·c + k] = x[2i+a, 2j+b, k]``
    - log-det:  0, as it only moves elements

    Shapes: ``[batch, h/2, w/2, 4c]`` (latent) from and to ``[batch, h, w, c]`` (data).
    Dinh, Sohl-Dickstein & Bengio 2017, section 3.6.

    Raises:
        ValueError: if the height or the width is odd.
    """

    def __init__(
        self, *, data_shape: tuple[int, int, int], dtype: tf.DType = tf.float32, name: str = "squeeze"
    ) -> None:
        height, width, channels = data_shape
        if height % 2 or width % 2:
            raise ValueError(f"{height} x {width} pixels cannot be halved: both sides must be even")
        latent_shape = (height // 2, width // 2, 4 * channels)
        super().__init__(latent_shape=latent_shape, data_shape=data_shape, dtype=dtype, name=name)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and 0."""
        return tf.nn.depth_to_space(z, 2), tf.zeros([], z.dtype)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and 0."""
        return tf.nn.space_to_depth(x, 2), tf.zeros([], x.dtype)
