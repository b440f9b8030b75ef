"""How the columns of a flow's two sides are cut into parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from flow_models.errors import FlowModelsError


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The parts of the data side, (x, ε), and of the latent side, (y, z), as widths.

    Attributes:
        x: what is modelled: images flattened, parameters of a system.
        noise: ε, the noise of an observation, an input of the network beside x (Zhang & Curtis 2021).
        y: what is known of x: an observation, or a class. All that is not y is z ~ N(0, I).

    Raises:
        FlowModelsError: if a width is negative, or y is wider than the data side.
    """

    x: int
    noise: int = 0
    y: int = 0

    def __post_init__(self) -> None:
        if self.x < 1 or self.noise < 0 or not 0 <= self.y <= self.x + self.noise:
            raise FlowModelsError(
                f"partition: {self.x} of x and {self.noise} of noise cannot hold {self.y} of y; "
                "both sides of a bijection are of one width"
            )

    @property
    def width(self) -> int:
        """Of either side."""
        return self.x + self.noise

    @property
    def z(self) -> int:
        """What remains of the latent side."""
        return self.width - self.y

    def split_data(self, data: tf.Tensor | np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """``[..., width]`` into x and ε."""
        x, noise = tf.split(data, [self.x, self.noise], axis=-1)
        return x, noise

    def split_latent(self, latent: tf.Tensor | np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """``[..., width]`` into y and z."""
        y, z = tf.split(latent, [self.y, self.z], axis=-1)
        return y, z
