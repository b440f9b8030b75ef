"""A model's posteriors beside those of Markov chains, which experiments/references keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from flow_models.applications.inverse_problem import Findings
from flow_models.applications.posterior import Posteriors, draw
from flow_models.data.parallel import cores
from flow_models.evaluation.two_sample import c2st
from flow_models.report.page import Headline, Picture, Section, Table
from flow_models.settings import Settings

if TYPE_CHECKING:
    from flow_models.model import FlowModel

FOLDER = Path("experiments/references")
LEADING = 6  # principal components of a reference posterior
WIDE = (128, 128)  # the classifier of all dimensions; its default, ten units each, would take minutes a case
_TIMED = 5  # draws, of which the fastest counts: others may be using the machine


@dataclass(frozen=True, kw_only=True)
class References:
    """What ``experiments.references`` wrote of a problem.

    Attributes:
        truth: ``(n, p)``.
        observations: ``(n, m)``.
        samples: of Markov chains, ``(n, draws, p)``.
        seconds: of processor time for one case.
    """

    truth: NDArray[np.float64]
    observations: NDArray[np.float64]
    samples: NDArray[np.float64]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near a model's posteriors are to the references.

    Attributes:
        samples: of the model, ``(n, draws, p)``.
        leading: C2ST on the leading principal components of each reference, ``(n,)``.
        full: C2ST on all parameters, ``(n,)``.
        covered: share of the references' samples inside the model's central 90 % intervals, ``(n, p)``.
        width: deviation of the model's samples over the reference's, ``(n, p)``.
        seconds: of the clock, for as many samples of one case.
    """

    samples: NDArray[np.float64]
    leading: NDArray[np.float64]
    full: NDArray[np.float64]
    covered: NDArray[np.float64]
    width: NDArray[np.float64]
    seconds: float


# From samples by set ``(draws, p)``, the truth and the observation to a picture.
Draw: TypeAlias = Callable[[Mapping[str, NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]], Picture]


def read_references(name: str, number: int) -> References | None:
    """The first cases of ``experiments/references/<name>.npz``; None if it is not there."""
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        return None
    with np.load(path) as file:
        cases = len(file["truth"])
        parts = {key: file[key][:number].astype(np.float64) for key in ("truth", "observations", "samples")}
        return References(**parts, seconds=float(file["seconds"]) / cases)


def compare(model: FlowModel, references: References, *, seed: int) -> Agreement:
    """Draw as many samples as each reference has, and try to tell the two apart."""
    y, chains = references.observations.astype(np.float32), references.samples
    samples = draw(model, y, chains.shape[1], seed=seed)
    samples = np.asarray(model.partition.split_data(samples)[0])
    pairs = list(zip(chains, samples, strict=True))
    low, high = np.quantile(samples, [0.05, 0.95], axis=1)
    inside = (chains >= low[:, None]) & (chains <= high[:, None])
    # In processes, for a network this small holds Python's lock most of the time.
    leading = [delayed(c2st)(*leading_components(*pair), seed=seed) for pair in pairs]
    full = [delayed(c2st)(*pair, seed=seed, hidden=WIDE) for pair in pairs]
    accuracies = np.array(Parallel(n_jobs=cores())(leading + full))
    return Agreement(
        samples=samples,
        leading=accuracies[: len(pairs)],
        full=accuracies[len(pairs) :],
        covered=inside.mean(axis=1),
        width=samples.std(axis=1) / chains.std(axis=1),
        seconds=min(_seconds_to_draw(model, y[:1], chains.shape[1], seed=seed + each) for each in range(_TIMED)),
    )


def leading_components(
    reference: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets ``(n, p)`` in the directions in which the reference varies most, in units of its columns."""
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    axes = np.linalg.svd((reference - mean) / deviation, full_matrices=False)[2][:LEADING]
    return ((reference - mean) / deviation) @ axes.T, ((other - mean) / deviation) @ axes.T


def findings(
    settings: Settings, model: FlowModel, posteriors: Posteriors, *, name: str, chains: str, picture: Draw
) -> Findings:
    """Measures and a section on the agreement; if the references are not there, a picture of one posterior.

    Args:
        settings: ``evaluate.references`` says how many cases.
        model: trained.
        posteriors: of the test.
        name: of the file.
        chains: how the references came about, such as NUTS.
        picture: of one posterior beside its reference.
    """
    references = read_references(name, settings.evaluate.references)
    if references is None:
        alone = picture({"flow": posteriors.x[0]}, posteriors.truth[0], posteriors.y[0])
        return Findings(sections=[Section("One posterior", "At the first test observation.", pictures={name: alone})])
    found = compare(model, references, seed=settings.seed)
    both = {"flow": found.samples[0], chains: references.samples[0]}
    beside = picture(both, references.truth[0], references.observations[0])
    return Findings(
        metrics={"reference": measures(found)},
        headlines=_headlines(found, references, chains),
        sections=[_section(found, chains, {name: beside})],
    )


def measures(found: Agreement) -> dict[str, Any]:
    """As ``metrics.json`` has them."""
    return {
        "cases": len(found.leading),
        "c2st_leading": float(np.median(found.leading)),
        "c2st_leading_worst": float(found.leading.max()),
        "c2st_full": float(np.median(found.full)),
        "c2st_full_worst": float(found.full.max()),
        "inside_central_90": float(found.covered.mean()),
        "width_ratio": float(np.median(found.width)),
    }


def _headlines(found: Agreement, references: References, chains: str) -> Sequence[Headline]:
    draws = found.samples.shape[1]
    return [
        Headline(
            f"C2ST to {chains}",
            f"{np.median(found.leading):.3f}",
            f"on {LEADING} leading principal components; {np.median(found.full):.3f} on all, 0.5 being equal",
        ),
        Headline(
            f"{draws:,} samples",
            f"{found.seconds:.2g} s",
            f"{references.seconds / found.seconds:,.0f} times faster than {chains} with its {references.seconds:.3g} s",
        ),
    ]


def _section(found: Agreement, chains: str, pictures: Mapping[str, Picture]) -> Section:
    rows = [
        [str(case + 1), *(f"{value:.3f}" for value in values)]
        for case, values in enumerate(
            zip(found.leading, found.full, found.covered.mean(axis=1), np.median(found.width, axis=1), strict=True)
        )
    ]
    table = Table(
        "By case; a C2ST of 0.5 and a ratio of 1 are agreement",
        ["Case", f"C2ST, {LEADING} components", "C2ST, all", f"{chains} inside central 90 %", "width / reference"],
        rows,
    )
    return Section(
        f"Against {chains}",
        f"{found.samples.shape[1]:,} samples of the model against as many of {chains}, at {len(rows)} observations "
        "that took no part in training. C2ST is the accuracy of a classifier that tells them apart, on the "
        f"{LEADING} principal components in which the reference varies most and on all parameters.",
        tables=[table],
        pictures=pictures,
    )


def _seconds_to_draw(model: FlowModel, y: NDArray[np.float32], number: int, *, seed: int) -> float:
    start = time.perf_counter()
    draw(model, y, number, seed=seed)
    return time.perf_counter() - start
