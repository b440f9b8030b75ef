"""The two colours of a checkerboard of pixels as two halves of the channels."""

from __future__ import annotations

import tensorflow as tf

from flow_models.bijectors.fused import FusedBijector


class Checkerboard(FusedBijector):
    r"""Each pair of neighbours in a row becomes one pixel: first the black one's channels, then the white one's.

    Pixel ``(i, j)`` is black if ``i + j`` is even. With ``p = i mod 2``:

    - forward:  ``x[i, 2j + p, k] = z[i, j, k]``, ``x[i, 2j + 1 - p, k] = z[i, j, c + k]``
    - inverse:  ``z[i, j, k] = x[i, 2j + p, k]``, ``z[i, j, c + k] = x[i, 2j + 1 - p, k]``
    - log-det:  0, as it only moves elements

    A coupling that passes half of the channels then passes one colour, which is the checkerboard mask of
    Dinh, Sohl-Dickstein & Bengio 2017, figure 3.

    Shapes: ``[batch, h, w/2, 2c]`` (latent) from and to ``[batch, h, w, c]`` (data).

    Raises:
        ValueError: if the width is odd.
    """

    def __init__(
        self, *, data_shape: tuple[int, int, int], dtype: tf.DType = tf.float32, name: str = "checkerboard"
    ) -> None:
        height, width, channels = data_shape
        if width % 2:
            raise ValueError(f"a row of {width} pixels does not come in pairs: the width must be even")
        latent_shape = (height, width // 2, 2 * channels)
        super().__init__(latent_shape=latent_shape, data_shape=data_shape, dtype=dtype, name=name)
        self._odd_rows = tf.reshape(tf.range(height) % 2 == 1, [height, 1, 1, 1])
        self._pairs = (height, width // 2, 2, channels)

    def forward_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``x`` and 0."""
        return self._swap_odd_rows(z, self.data_shape), tf.zeros([], z.dtype)

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``z`` and 0."""
        return self._swap_odd_rows(x, self.latent_shape), tf.zeros([], x.dtype)

    def _swap_odd_rows(self, x: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
        """Exchange the pixels of a pair where the row starts with a white one; its own inverse."""
        pairs = tf.reshape(x, [-1, *self._pairs])
        return tf.reshape(tf.where(self._odd_rows, tf.reverse(pairs, axis=[3]), pairs), [-1, *shape])
