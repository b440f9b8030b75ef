"""An image of the manifest, at the network's size: as it was kept, or read again."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from flow_models.data.errors import UnreadableError
from flow_models.data.images import decode
from flow_models.data.kept_pixels import KeptPixels
from flow_models.data.sources import Source
from flow_models.errors import FlowModelsError


def pixels(
    source: Source,
    kept: KeptPixels | None,
    shape: tuple[int, int, int],
    *,
    key: str,
    sha256: str,
    version: str | None,
) -> NDArray[np.uint8]:
    """The image that a row of the manifest describes.

    Args:
        source: where the manifest was made from.
        kept: asked before the source; of the same shape.
        shape: height, width, channels.
        key: of the row.
        sha256: of the row.
        version: of the row, in a versioned bucket.

    Returns:
        ``shape``, values 0 to 255.

    Raises:
        FlowModelsError: if the file is not the one that the row describes any more.
    """
    if kept is not None and (known := kept.get(sha256)) is not None:
        return known
    where = f"{source.uri}/{key}"
    try:
        content = source.read(key, version=version, sha256=sha256).data
        if hashlib.sha256(content).hexdigest() != sha256:
            raise FlowModelsError(f"{where}: changed since it was validated; run `flow-models data validate` again")
        return decode(content, shape)
    except UnreadableError as error:
        raise FlowModelsError(f"{where}: {error}; repair or remove it and validate again") from None
