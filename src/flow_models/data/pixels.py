"""An image of the manifest, read again at the network's size."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from flow_models.data.cache import Cache
from flow_models.data.errors import UnreadableError
from flow_models.data.images import decode
from flow_models.data.sources import Source
from flow_models.errors import FlowModelsError


def pixels(
    source: Source,
    cache: Cache | None,
    shape: tuple[int, int, int],
    *,
    key: str,
    sha256: str,
    version: str | None,
) -> NDArray[np.uint8]:
    """The image that a row of the manifest describes.

    Args:
        source: where the manifest was made from.
        cache: asked before the source.
        shape: height, width, channels.
        key: of the row.
        sha256: of the row.
        version: of the row, in a versioned bucket.

    Returns:
        ``shape``, values 0 to 255.

    Raises:
        FlowModelsError: if the file is not the one that the row describes any more.
    """
    where = f"{source.uri}/{key}"

    def download() -> bytes:
        return source.read(key, version=version).data

    try:
        content = cache.fetch(sha256, download) if cache else download()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise FlowModelsError(f"{where}: changed since it was validated; run `flow-models data validate` again")
        return decode(content, shape)
    except UnreadableError as error:
        raise FlowModelsError(f"{where}: {error}; repair or remove it and validate again") from None
