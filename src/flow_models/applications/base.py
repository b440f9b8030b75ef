"""The contract between an application and the pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flow_models.data.atomic import complete_file, complete_folder
from flow_models.errors import FlowModelsError
from flow_models.report.page import Headline, Page, Picture, Section, Verdict
from flow_models.report.theme import png
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.evaluation.frozen import FrozenSet
    from flow_models.model import FlowModel
    from flow_models.saved_model import Serving
    from flow_models.training import TrainingData


class Application(Protocol):
    """One use of a flow."""

    name: str

    def learn(self, settings: Settings) -> Lesson:
        """The model at its start, and the data that it learns from.

        Raises:
            FlowModelsError: if the data are missing, or not those that the settings ask for.
        """
        ...

    def digests(self, settings: Settings) -> Digests:
        """By which digests the data that a model was made from are known.

        Raises:
            FlowModelsError: if the data are missing.
        """
        ...

    def serve(self, settings: Settings, model: FlowModel) -> Served:
        """What others call of the model, and an example to try it on.

        Raises:
            FlowModelsError: if the data are missing.
        """
        ...

    def frozen(self, settings: Settings, model: FlowModel) -> FrozenSet:
        """The examples on which the model is compared with the champion; none was trained on.

        Raises:
            FlowModelsError: if the data are missing.
        """
        ...

    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure a trained model on data that took no part in its training.

        Raises:
            FlowModelsError: if the data cannot be evaluated with this model.
        """
        ...


SEPARATION = 6.0  # of the class means before training, in deviations: classes that do not overlap have room


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What a model is made of; see ``FlowModel``."""

    architecture: str
    options: dict[str, Any]
    base: dict[str, Any] | None = None
    about: dict[str, Any] | None = None

    def build(self, *, compute_dtype: Any = None, reversible: bool = False) -> FlowModel:
        """The model at its start, given how it computes."""
        from flow_models.model import FlowModel

        return FlowModel(
            self.architecture,
            self.options,
            base=self.base,
            about=self.about,
            compute_dtype=compute_dtype,
            reversible=reversible,
        )


@dataclass(frozen=True)
class Lesson:
    """What is to be learned.

    Attributes:
        blueprint: of the model.
        data: what it learns from.
        digest: of the data.
        finish: what is left to do with the trained model, given it and the folder that it lies in.
    """

    blueprint: Blueprint
    data: TrainingData
    digest: str
    finish: Callable[[FlowModel, Path], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Digests:
    """Where data come from, and by which digests they are known.

    Attributes:
        source: a folder or an address.
        data: of the data as they came: the manifest's, the table's.
        prepared: of what the model reads; likelihoods compare where it is the same.
    """

    source: str
    data: str
    prepared: str


@dataclass(frozen=True)
class Served:
    """The functions of a model that others call, and one input, ``(n, …)``, to try them on."""

    functions: Serving
    example: NDArray[Any]


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        title: what the report is about, in a few words.
        summary: in a sentence or two, what was measured on what, and what came out.
        metrics: numbers in nested mappings with string keys; the same model and data give the
            same numbers.
        tables: what DVC plots, by name.
        headlines: the numbers that a reader should leave with.
        sections: of the report.
    """

    title: str
    summary: str
    metrics: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    headlines: Sequence[Headline]
    sections: Sequence[Section]

    @property
    def figures(self) -> dict[str, Picture]:
        """All pictures of all sections, by name."""
        return {name: picture for section in self.sections for name, picture in section.pictures.items()}

    def page(self, *, verdict: Verdict, facts: Mapping[str, str], settings: Settings) -> Page:
        """The report, for ``report.page.write_page``."""
        return Page(
            title=self.title,
            summary=self.summary,
            verdict=verdict,
            headlines=self.headlines,
            sections=self.sections,
            facts=facts,
            metrics=self.metrics,
            settings=settings.model_dump(mode="json", by_alias=True),
        )

    def write(self, folder: Path) -> None:
        """Write ``plots/<table>.csv``, ``figures/<figure>.png`` and, last, ``metrics.json``."""
        with complete_folder(folder / "plots") as plots:
            for name, table in self.tables.items():
                table.to_csv(plots / f"{name}.csv", index=False, lineterminator="\n")
        with complete_folder(folder / "figures") as figures:
            for name, picture in self.figures.items():
                (figures / f"{name}.png").write_bytes(png(picture.figure))
        with complete_file(folder / "metrics.json") as metrics:
            metrics.write_text(json.dumps(self.metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def class_base(settings: Settings, labels: NDArray[np.int64], *, classes: int, width: int) -> dict[str, Any]:
    """The base distribution with a mean a class.

    Raises:
        FlowModelsError: if there are not two classes with training examples.
    """
    counts = np.bincount(labels, minlength=classes)
    if np.count_nonzero(counts) < 2:  # noqa: PLR2004
        raise FlowModelsError("labels: training has one class only; a classifier needs two")
    return {
        "kind": "class_means",
        "y": min(settings.partition.y or width, width),
        "shares": ((counts + 1) / (counts + 1).sum()).tolist(),
        "class_weight": settings.partition.class_weight,
        "label_smoothing": settings.partition.label_smoothing,
        "separation": SEPARATION,
        "seed": settings.seed,
    }


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Class numbers ``(n,)`` as rows ``(n, classes)``, the context of a model with class means."""
    return np.eye(classes, dtype=np.float32)[labels]
