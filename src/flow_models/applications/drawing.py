"""Samples and posteriors of any trained model, written to files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flow_models.applications.base import one_hot
from flow_models.applications.posterior import sample_posterior
from flow_models.data.atomic import complete_file, complete_folder
from flow_models.errors import FlowModelsError
from flow_models.report.figures import image_sheets
from flow_models.report.theme import png
from flow_models.seeds import seed_of

if TYPE_CHECKING:
    from flow_models.model import FlowModel

BATCH = 256  # images at a time
ROWS = 10_000  # vectors at a time
ON_THE_SHEET = 100


def write_samples(
    model: FlowModel,
    folder: Path,
    *,
    number: int,
    temperature: float,
    seed: int,
    label: str | None = None,
    truncation: float | None = None,
) -> list[str]:
    """Draw samples into a folder, replaced when all is written; a batch at a time is in memory.

    Images become ``00000.png`` …, with seed, temperature and truncation in each file's metadata, and
    ``contact_sheet.png`` of the first hundred; vectors become ``samples.csv``.

    Args:
        model: trained; not one that is conditional on observations.
        folder: to write.
        number: of samples, at least 1.
        temperature: scales the latent draw.
        seed: the same gives the same samples.
        label: the class to draw of; None where there are classes: each in turn.
        truncation: the largest size of a latent before it is scaled, in deviations; None: no bound.

    Returns:
        The names of the files.

    Raises:
        FlowModelsError: if the model needs an observation, or has no such class.
    """
    if model.context_width is not None and model.classes is None:
        raise FlowModelsError("this model is conditional on an observation; `flow-models posterior` draws from it")
    numbers, images = _class_numbers(model, number, label), len(model.event_shape) > 1
    drawn = _drawn(
        model,
        number,
        numbers,
        size=BATCH if images else ROWS,
        temperature=temperature,
        seed=seed,
        truncation=truncation,
    )
    with complete_folder(folder) as unfinished:
        if images:
            about = {"seed": str(seed), "temperature": str(temperature)}
            _write_images(drawn, unfinished, about | ({} if truncation is None else {"truncation": str(truncation)}))
        else:
            _write_table(model, drawn, unfinished / "samples.csv", numbers)
    return sorted(path.name for path in folder.iterdir())


def write_posterior(model: FlowModel, observations: Path, output: Path, *, number: int, seed: int) -> pd.DataFrame:
    """Draw from the posterior of each observation of a file.

    Args:
        model: trained, conditional on observations.
        observations: CSV with the observations' names as its header, or ``.npy`` ``(n, m)``.
        output: ``.csv`` or ``.parquet``; a row a draw: ``observation`` counted from 0, and the parameters.
        number: of draws an observation.
        seed: the same gives the same draws.

    Returns:
        Mean, deviation, 5 % and 95 % quantile of each parameter, by observation.

    Raises:
        FlowModelsError: if the model takes no observations, or these are not what it takes.
    """
    if model.context_width is None or model.classes is not None:
        raise FlowModelsError("this model is not conditional on an observation; `flow-models sample` draws from it")
    if output.suffix not in (".csv", ".parquet"):
        raise FlowModelsError(f"{output}: the output is .csv or .parquet")
    y = read_observations(observations, names=model.about["y"])
    names, draws = model.about["x"], sample_posterior(model, y, number, seed=seed)
    table = pd.DataFrame(draws.reshape(-1, len(names)).astype(np.float32), columns=names)
    table.insert(0, "observation", np.repeat(np.arange(len(y)), number))
    with complete_file(output) as unfinished:
        table.to_csv(unfinished, index=False) if output.suffix == ".csv" else table.to_parquet(unfinished, index=False)
    return table.groupby("observation").agg(["mean", "std", _low, _high])


def read_observations(path: Path, *, names: list[str]) -> NDArray[np.float32]:
    """Observations ``(n, m)`` from CSV or ``.npy``.

    Raises:
        FlowModelsError: if the file cannot be read, or its numbers are of another width or not finite.
    """
    try:
        if path.suffix == ".npy":
            y = np.atleast_2d(np.load(path, allow_pickle=False)).astype(np.float32)
        else:
            table = pd.read_csv(path)
            y = (table[names] if set(names) <= set(table.columns) else table).to_numpy(np.float32)
    except FileNotFoundError:
        raise FlowModelsError(f"{path}: no such file; it holds the observations") from None
    except ValueError as error:
        raise FlowModelsError(f"{path}: not a table of numbers ({error})") from None
    if y.ndim != 2 or y.shape[1] != len(names):  # noqa: PLR2004
        raise FlowModelsError(f"{path}: {y.shape[-1]} columns, but the model observes {len(names)}: {', '.join(names)}")
    bad = np.argwhere(~np.isfinite(y))
    if len(bad):
        raise FlowModelsError(f"{path}: row {bad[0][0]}, {names[bad[0][1]]} is not finite; leave that row out")
    return y


def _class_numbers(model: FlowModel, number: int, label: str | None) -> NDArray[np.int64] | None:
    """Of each sample; None for a model without classes."""
    if model.classes is None:
        if label is not None:
            raise FlowModelsError(f"--label {label}: this model was trained without classes")
        return None
    names: list[str] = model.about["classes"]
    if label is None:
        return np.arange(number) % len(names)
    if label not in names:
        raise FlowModelsError(f"--label {label}: no such class; known: {', '.join(names)}")
    return np.full(number, names.index(label))


def _drawn(
    model: FlowModel,
    number: int,
    numbers: NDArray[np.int64] | None,
    *,
    size: int,
    temperature: float,
    seed: int,
    truncation: float | None,
) -> Iterator[NDArray[Any]]:
    """Batches of samples."""
    for start in range(0, number, size):
        count = min(size, number - start)
        context = None if numbers is None else one_hot(numbers[start : start + count], len(model.about["classes"]))
        # A batch has a seed of its own, which the whole run's seed and its place decide.
        own = seed_of(seed, start)
        yield np.asarray(model.sample(count, context=context, seed=own, temperature=temperature, truncation=truncation))


def _write_table(
    model: FlowModel, drawn: Iterable[NDArray[Any]], path: Path, numbers: NDArray[np.int64] | None
) -> None:
    start = 0
    for rows in drawn:
        names = model.about.get("x", [f"x_{index}" for index in range(rows.shape[1])])
        table = pd.DataFrame(rows[:, : len(names)], columns=names)
        if numbers is not None:
            table["class"] = np.asarray(model.about["classes"])[numbers[start : start + len(rows)]]
        table.to_csv(path, mode="a", header=start == 0, index=False, lineterminator="\n")
        start += len(rows)


def _write_images(drawn: Iterable[NDArray[Any]], folder: Path, about: Mapping[str, str]) -> None:
    from flow_models.model import to_images

    shown: list[NDArray[np.uint8]] = []
    index = 0
    for batch in drawn:
        images = to_images(batch)
        shown += list(images[: ON_THE_SHEET - len(shown)])
        for image in images:
            save_image(image, folder / f"{index:05d}.png", about=about)
            index += 1
    title = ", ".join(f"{name} {value}" for name, value in about.items())
    (folder / "contact_sheet.png").write_bytes(png(image_sheets({title: np.stack(shown)})))


def save_image(image: NDArray[np.uint8], path: Path, *, about: Mapping[str, str]) -> None:
    """Write ``(h, w, 1 or 3)`` as PNG with texts in its metadata."""
    info = PngInfo()
    for name, text in {"Software": "flow-models", **about}.items():
        info.add_text(name, text)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, pnginfo=info)


def _low(values: pd.Series[float]) -> float:
    return float(values.quantile(0.05))


def _high(values: pd.Series[float]) -> float:
    return float(values.quantile(0.95))
