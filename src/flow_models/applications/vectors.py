"""What the applications without images have in common: a table, a flow of vectors, and what is served of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flow_models.applications.base import Blueprint, Digests, Evaluation, Lesson, Served, class_base, one_hot
from flow_models.data.tables import Columns, Rows, Table, make_table, read_table
from flow_models.errors import FlowModelsError
from flow_models.evaluation.frozen import FrozenSet
from flow_models.settings import Settings, VectorSettings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

TRAIN, TEST = 0, 1  # which stream of random numbers; fresh epochs follow
AT_ONCE = 10_000  # rows scored
FIRST = 20_000  # rows that correlations are taken from; those of a batch would be noise


class Source(Protocol):
    """Where rows come from: a simulator, a density, a mixture."""

    @property
    def columns(self) -> Columns:
        """What the columns are."""
        ...

    def draw(self, number: int, *, seed: int, stream: int) -> Rows:
        """``number`` rows, a function of the arguments alone; another stream gives fresh ones."""
        ...


class VectorApplication(ABC):
    """One use of a flow of vectors; a subclass says where its rows come from and how good a model is at it."""

    name: str

    @abstractmethod
    def source(self, settings: Settings) -> Source:
        """Where the rows come from.

        Raises:
            FlowModelsError: if ``data.source`` names none that this application knows.
        """

    @abstractmethod
    def evaluate(self, settings: Settings, model: FlowModel) -> Evaluation:
        """Measure a trained model on rows that took no part in its training."""

    def draw(self, settings: Settings) -> Table:
        """The table of ``simulation.train`` and ``simulation.test`` rows.

        Raises:
            FlowModelsError: if the source gives what cannot be learned from.
        """
        source = self.source(settings)
        drawn = drawn_rows(source, settings.simulation.train, seed=settings.seed, stream=TRAIN)
        splits = {
            **held_out(drawn, settings),
            "test": drawn_rows(source, settings.simulation.test, seed=settings.seed, stream=TEST),
        }
        return make_table(splits, source.columns, seed=settings.seed)

    def fresh(self, settings: Settings, train: Rows, *, stream: int) -> Rows:
        """As many rows as ``train`` has, for another epoch."""
        return drawn_rows(self.source(settings), len(train), seed=settings.seed, stream=stream)

    def learn(self, settings: Settings) -> Lesson:
        """The model at its start, and what it learns from."""
        from flow_models import training
        from flow_models.data.lanes import WHOLE
        from flow_models.data.pipeline import vector_batches

        table = read_table(settings.prepared_folder)
        train, holdout = table.rows("train"), table.rows("holdout")
        size, seed = settings.train.batch_size, settings.seed

        def rows(epoch: int) -> Rows:
            if epoch == 0 or not settings.simulation.fresh:
                return train
            return self.fresh(settings, train, stream=TEST + epoch)

        def arrays(part: Rows) -> tuple[NDArray[np.float32], ...]:
            return _arrays(part, table.columns, settings)

        return Lesson(
            blueprint=blueprint(settings, table),
            data=training.TrainingData(
                batches=lambda epoch, skip, share=WHOLE: vector_batches(
                    arrays(rows(epoch)), batch_size=size, seed=seed, epoch=epoch, skip=skip, share=share
                ),
                steps_per_epoch=len(train) // size,
                holdout=training.batch_of(arrays(holdout)),
                first=training.batch_of(arrays(_slice(train, slice(0, FIRST)))) if whitened(settings) else None,
            ),
            digest=table.digest,
        )

    def serve(self, settings: Settings, model: FlowModel) -> Served:
        """Posterior samples where there are observations, else density and samples."""
        from flow_models.saved_vectors import PosteriorServing, VectorServing

        table = read_table(settings.prepared_folder)
        some = table.rows("test")
        if table.columns.y:
            return Served(PosteriorServing(model), example=some.y[:2])
        labels = table.rows("train").labels
        shares = [] if labels is None else (np.bincount(labels) / len(labels)).tolist()
        return Served(VectorServing(model, shares=shares), example=some.x[:2])

    def frozen(self, settings: Settings, model: FlowModel) -> FrozenSet:
        """The test rows, with their observations where there are any; ε is among them if the model has it."""
        rows = read_table(settings.prepared_folder).rows("test")
        x = np.hstack([rows.x, rows.noise]) if model.partition.noise else rows.x
        return FrozenSet(x=x, context=rows.y if rows.y.shape[1] else None, batch_size=AT_ONCE)

    def digests(self, settings: Settings) -> Digests:
        """What the model was made from."""
        digest = read_table(settings.prepared_folder).digest
        return Digests(source=str(settings.prepared_folder), data=digest, prepared=digest)


def drawn_rows(source: Source, number: int, *, seed: int, stream: int) -> Rows:
    """Rows of a source, the same for the same seed and stream.

    Raises:
        FlowModelsError: if one is not finite.
    """
    rows = source.draw(number, seed=seed, stream=stream)
    for part, names in ((rows.x, source.columns.x), (rows.y, source.columns.y)):
        bad = np.argwhere(~np.isfinite(part))
        if len(bad):
            row, column = bad[0]
            raise FlowModelsError(
                f"{names[column]}: the source gave {part[row, column]} in row {row} of {number} "
                f"({len(np.unique(bad[:, 0]))} rows in all are not finite); correct it, or draw within its range"
            )
    return rows


def held_out(rows: Rows, settings: Settings) -> dict[str, Rows]:
    """Rows cut into ``train`` and, the last ``data.holdout`` of them, ``holdout``.

    Raises:
        FlowModelsError: if a part would be empty, or there are fewer rows than columns.
    """
    kept = len(rows) - round(settings.data.holdout * len(rows))
    if kept < 1 or kept == len(rows):
        raise FlowModelsError(f"data.holdout: {settings.data.holdout} of {len(rows)} rows leaves a part empty")
    if kept < rows.x.shape[1]:
        raise FlowModelsError(
            f"{kept} rows to train on are fewer than their {rows.x.shape[1]} columns; bring more (simulation.train)"
        )
    return {"train": _slice(rows, slice(0, kept)), "holdout": _slice(rows, slice(kept, None))}


def whitened(settings: Settings) -> bool:
    """Whether the model starts from correlations, for which a batch is too few rows."""
    return isinstance(settings.model, VectorSettings) and settings.model.whiten


def blueprint(settings: Settings, table: Table) -> Blueprint:
    """A flow of the table's rows at its start, conditional in the way that ``partition`` says."""
    columns = table.columns
    options: dict[str, Any] = settings.model.model_dump(exclude={"architecture"})
    base: dict[str, Any] = {"kind": "standard_normal"}
    features, support = len(columns.x), columns.support
    labels = table.rows("train").labels
    if labels is not None:
        base = class_base(settings, labels, classes=len(columns.classes), width=features)
    elif columns.y and settings.partition.conditioning == "context":
        options["context_width"] = len(columns.y)
    elif columns.y:
        features += len(columns.noise)
        support = [*support, *[(None, None)] * len(columns.noise)] if support is not None else None
        base = {"kind": "observed_part", "y": len(columns.y), "noise": len(columns.noise)}
    options |= {"features": features, "support": support, "seed": settings.seed}
    return Blueprint(
        architecture=settings.model.architecture, options=options, base=base, about=_about(settings, table)
    )


def labels_of(rows: Rows) -> NDArray[np.int64]:
    """The classes of rows by number, ``(n,)``.

    Raises:
        FlowModelsError: if they come from a table without classes.
    """
    if rows.labels is None:
        raise FlowModelsError("labels: the table has no classes; give its source some, or use another application")
    return rows.labels


def _arrays(rows: Rows, columns: Columns, settings: Settings) -> tuple[NDArray[np.float32], ...]:
    """The data side, and what is known beside it if anything is."""
    if rows.labels is not None:
        return rows.x, one_hot(rows.labels, len(columns.classes))
    if not columns.y:
        return (rows.x,)
    parts = settings.partition.conditioning == "parts"
    return (np.hstack([rows.x, rows.noise]) if parts else rows.x), rows.y


def _slice(rows: Rows, which: slice) -> Rows:
    labels = None if rows.labels is None else rows.labels[which]
    return Rows(x=rows.x[which], noise=rows.noise[which], y=rows.y[which], labels=labels)


def _about(settings: Settings, table: Table) -> dict[str, Any]:
    """What a user of the model must know of its columns."""
    from flow_models.evaluation.novelty import Seen

    about: dict[str, Any] = {"application": settings.application, "x": list(table.columns.x)}
    if table.columns.classes:
        about["classes"] = list(table.columns.classes)
    if table.columns.y:
        about |= {"y": list(table.columns.y), "seen": Seen.of(table.rows("train").y).to_json()}
    return about
