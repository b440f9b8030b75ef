"""Pictures that a reader can put in another order."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Tile:
    """An image ``(h, w, 1 or 3)``, uint8; its name, the set that it is of, and numbers in the gallery's order."""

    image: NDArray[np.uint8]
    name: str
    group: str
    values: Sequence[float]

    @property
    def source(self) -> str:
        """The image as the address of a picture in the page."""
        content = io.BytesIO()
        Image.fromarray(self.image[..., 0] if self.image.shape[-1] == 1 else self.image).save(content, format="PNG")
        return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


@dataclass(frozen=True)
class Gallery:
    """Tiles under a title, in the order given until a reader chooses one of the numbers.

    Attributes:
        title: a few words.
        caption: what is to be seen.
        columns: name of each number, and whether its largest comes first.
        tiles: the pictures.
    """

    title: str
    caption: str
    columns: Mapping[str, bool]
    tiles: Sequence[Tile]

    @property
    def groups(self) -> list[str]:
        """The sets, in the order in which they appear."""
        return list(dict.fromkeys(tile.group for tile in self.tiles))
