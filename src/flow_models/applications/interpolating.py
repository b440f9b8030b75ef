"""What lies between two images: their latents joined by a path, and carried back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flow_models.applications.drawing import save_image
from flow_models.data.atomic import complete_folder
from flow_models.data.errors import UnreadableError
from flow_models.data.images import decode
from flow_models.errors import FlowModelsError
from flow_models.evaluation.latent import linear_path, spherical_path
from flow_models.evaluation.likelihood import dequantise
from flow_models.report.figures import image_sheets
from flow_models.report.theme import png

if TYPE_CHECKING:
    from flow_models.model import FlowModel


@dataclass(frozen=True)
class Interpolated:
    """What was written, and the largest ``|x - decode(encode(x))|`` of the two ends, of the 256 grey levels."""

    folder: str
    steps: int
    path: str
    reconstruction_error: float


def write_interpolation(
    model: FlowModel, ends: tuple[Path, Path], folder: Path, *, steps: int, linear: bool = False, seed: int = 0
) -> Interpolated:
    """Write ``00000.png`` (the first image as the network sees it) to the last, and ``contact_sheet.png``.

    Args:
        model: trained on images.
        ends: files of the two images.
        folder: to write, replaced when all is written.
        steps: images, the ends included, at least 2.
        linear: along the straight line between the latents; else along the great arc, which stays where a Gaussian
            has its mass.
        seed: of the dequantisation.

    Raises:
        FlowModelsError: if the model is not one of images, or a file cannot be read as one.
    """
    from flow_models.model import to_images

    x = dequantise(np.stack([_read(path, model.event_shape) for path in ends]), seed=seed)
    latents = np.asarray(model.encode(x))
    error = float(np.abs(np.asarray(model.decode(latents)) - x).max() / 256)
    path = (linear_path if linear else spherical_path)(latents[0], latents[1], steps)
    images = to_images(model.decode(path.astype(np.float32)))
    name = "linear" if linear else "spherical"
    with complete_folder(folder) as unfinished:
        for index, image in enumerate(images):
            save_image(image, unfinished / f"{index:05d}.png", about={"path": name, "seed": str(seed)})
        sheet = image_sheets({f"{ends[0].name} to {ends[1].name}, {name}": images})
        (unfinished / "contact_sheet.png").write_bytes(png(sheet))
    return Interpolated(str(folder), steps, name, error)


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        height, width, channels = shape
    except ValueError:
        raise FlowModelsError("this model is of vectors; images alone are interpolated") from None
    try:
        return decode(path.read_bytes(), (height, width, channels))
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; name an image") from None
    except (OSError, UnreadableError) as error:
        raise FlowModelsError(f"{path}: {error}; name an image") from None
