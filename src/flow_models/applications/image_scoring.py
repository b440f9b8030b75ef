"""Score images that nobody has labelled: a folder or an address in, a table out, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flow_models.applications.image_scores import examine
from flow_models.data.atomic import complete_file
from flow_models.data.errors import UnreadableError
from flow_models.data.images import decode, pillow_silenced
from flow_models.data.manifest import passed_over
from flow_models.data.parallel import ordered_map
from flow_models.data.sources import Source
from flow_models.errors import FlowModelsError
from flow_models.evaluation.conformal import benjamini_hochberg, p_values
from flow_models.evaluation.drift import decay
from flow_models.evaluation.outlier_score import DEFAULT, SCORES, OutlierScore

if TYPE_CHECKING:
    from flow_models.model import FlowModel

BATCH = 256
SHOWN_REASONS = 10
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        *((name, pa.float64()) for name in SCORES),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("alarm", pa.bool_()),
        ("outlier", pa.bool_()),
        ("error", pa.string()),
    ]
)
"""The columns of the table, a row a file.

``key`` is the file below the source; ``score`` the default one of the scores before it, higher is more outlying, and
``p_value`` is its; ``alarm`` says whether ``p_value`` is at most α; ``outlier`` whether Benjamini-Hochberg at level α
finds it among all images of the table; ``error`` is why a file could not be scored, else null, and then all else is.
"""
_UNDECIDED = pa.schema([field for field in SCHEMA if field.name != "outlier"])


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What was written.

    Attributes:
        images: that were scored.
        unreadable: files that could not be, and ``reasons``, of the first ten of them.
        score: the name of the default score, which the p-values are of.
        alpha: the level.
        alarms: images with a p-value of at most α: of inliers, α of them are expected.
        alarms_p_value: the chance of as many alarms or more among inliers (``evaluation.drift.decay``).
        outliers: images that Benjamini-Hochberg finds at level α: of these, at most α inliers are expected.
        smallest_p_value: the least that an image can have; ``calibration`` inliers give no less.
        output: the table.
    """

    images: int
    unreadable: int
    score: str
    alpha: float
    alarms: int
    alarms_p_value: float
    outliers: int
    smallest_p_value: float
    calibration: int
    output: str
    reasons: list[str]


def write_scores(model: FlowModel, score: OutlierScore, source: Source, output: Path, *, alpha: float) -> Scored:
    """Score every file of a source into a parquet table, columns as in ``SCHEMA``, sorted by key.

    The table replaces ``output`` when it is whole. Hidden files are passed over; a file that is no image becomes a
    row with its reason.

    Args:
        model: trained on images.
        score: that was fitted to it.
        source: of the images, at any depth.
        output: ``.parquet``.
        alpha: level of the alarms and of Benjamini-Hochberg.

    Raises:
        FlowModelsError: if the source has no files or cannot be read, or the output is not parquet.
    """
    if output.suffix != ".parquet":
        raise FlowModelsError(f"{output}: the output is .parquet")
    keys = sorted(entry.key for entry in source.list() if not (entry.key.endswith("/") or passed_over(entry.key)))
    if not keys:
        raise FlowModelsError(f"{source.uri}: no files here; name the folder of the images")
    reasons: list[str] = []
    with complete_file(output) as unfinished, pillow_silenced():
        undecided = unfinished.with_suffix(".undecided")
        try:
            p_values = _write_undecided(_rows(model, score, source, keys, reasons), undecided, alpha=alpha)
            found = benjamini_hochberg(p_values, level=alpha)
            _decide(undecided, unfinished, found)
        finally:
            undecided.unlink(missing_ok=True)
    alarms = decay(p_values, promised=alpha, calibration_size=len(score.calibration), level=alpha)
    return Scored(
        images=len(p_values),
        unreadable=len(keys) - len(p_values),
        score=DEFAULT,
        alpha=alpha,
        alarms=alarms.alarms,
        alarms_p_value=alarms.p_value,
        outliers=int(found.sum()),
        smallest_p_value=score.smallest_p_value,
        calibration=len(score.calibration),
        output=str(output),
        reasons=reasons,
    )


def _rows(
    model: FlowModel, score: OutlierScore, source: Source, keys: Sequence[str], reasons: list[str]
) -> Iterator[dict[str, Any]]:
    """Batches of columns in the order of the keys; the first few reasons are noted."""
    height, width, channels = model.event_shape

    def read(key: str) -> NDArray[np.uint8] | str:
        try:
            return decode(source.read(key).data, (height, width, channels))
        except UnreadableError as error:
            return str(error)

    contents = ordered_map(read, keys, threads=source.threads, title="score")
    for batch in _batched(zip(keys, contents, strict=True), BATCH):
        images = np.array([content for _, content in batch if not isinstance(content, str)], np.uint8)
        readable = np.array([not isinstance(content, str) for _, content in batch])
        reasons += [f"{key}: {content}" for key, content in batch if isinstance(content, str)][
            : SHOWN_REASONS - len(reasons)
        ]
        columns = _scores(model, score, images.reshape(-1, *model.event_shape))
        yield {
            "key": [key for key, _ in batch],
            **{name: _spread(values, readable) for name, values in columns.items()},
            "error": pa.array([content if isinstance(content, str) else None for _, content in batch], pa.string()),
        }


def _scores(model: FlowModel, score: OutlierScore, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    if not len(images):
        return {name: np.zeros(0) for name in (*SCORES, "score", "p_value")}
    scores = score.scores(examine(model, images, noise_seed=score.noise_seed))
    return {**scores, "score": scores[DEFAULT], "p_value": p_values(score.calibration, scores[DEFAULT])}


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _spread(values: NDArray[Any], readable: NDArray[np.bool_]) -> pa.Array:
    """The values at the readable places, null at the others."""
    whole = np.zeros(len(readable), values.dtype)
    whole[readable] = values
    return pa.array(whole, mask=~readable)


def _write_undecided(batches: Iterable[dict[str, Any]], path: Path, *, alpha: float) -> NDArray[np.float64]:
    """Write all columns but that which needs every image, and give the p-values of the readable ones."""
    p_values = [np.zeros(0)]
    with pq.ParquetWriter(path, _UNDECIDED) as writer:
        for batch in batches:
            p = batch["p_value"]
            p_values.append(p.drop_null().to_numpy(zero_copy_only=False))
            writer.write_table(pa.table({**batch, "alarm": pc.less_equal(p, alpha)}).select(_UNDECIDED.names))
    return np.concatenate(p_values)


def _decide(undecided: Path, decided: Path, found: NDArray[np.bool_]) -> None:
    """Copy the table in row groups, with what was found among all readable images."""
    taken = 0
    with pq.ParquetFile(undecided) as file, pq.ParquetWriter(decided, SCHEMA) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            readable = table["error"].is_null().to_numpy()
            number = int(readable.sum())
            outlier = _spread(found[taken : taken + number], readable)
            writer.write_table(table.append_column("outlier", outlier).select(SCHEMA.names))
            taken += number
