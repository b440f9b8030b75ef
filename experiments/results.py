"""Every measure of every application at its full settings, beside what is published and what is aimed at.

    python -m experiments.results [--run --animal-faces FOLDER --mnist FOLDER]

Shows what the experiments in ``experiments/runs`` have measured. With ``--run`` it runs those that have not run, each
for at most 20 minutes; those on images only where their folder is named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from flow_models.registry.runs import read_metrics
from flows.pipeline import OF_IMAGES

EXPERIMENTS = Path(__file__).resolve().parent
RUNS = EXPERIMENTS / "runs"


@dataclass(frozen=True)
class Measure:
    """One row: an experiment's metric by its flat name, what is published of it, and the goal as a bound."""

    experiment: str
    metric: str
    published: str
    at_most: float | None = None
    at_least: float | None = None

    def goal(self) -> str:
        """In words."""
        above = "" if self.at_least is None else f"≥ {self.at_least:g}"
        below = "" if self.at_most is None else f"≤ {self.at_most:g}"
        return ", ".join(filter(None, (above, below)))

    def reached(self, value: float) -> bool:
        """Whether the value is within the bound."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)


def agreeing(experiment: str) -> tuple[Measure, ...]:
    """Of posteriors beside those of Markov chains."""
    return (
        Measure(experiment, "reference.c2st_leading", "equal: 0.5", at_most=0.6),
        Measure(experiment, "reference.c2st_full", "equal: 0.5"),
        Measure(experiment, "reference.inside_central_90", "exact: 0.9"),
    )


def calibrated(experiment: str) -> tuple[Measure, ...]:
    """Of posteriors at fresh simulations."""
    return (
        Measure(experiment, "calibration.sbc.parameters_outside_jointly", "", at_most=0),
        Measure(experiment, "calibration.coverage_error", "exact: 0", at_most=0.02),
        Measure(experiment, "calibration.central_90_coverage", "exact: 0.9", at_least=0.88, at_most=0.92),
        Measure(experiment, "calibration.hpd_p_value", ""),
        Measure(experiment, "calibration.tarp_p_value", ""),
        Measure(experiment, "calibration.local_c2st.rejected", "exact: 0.05 on average"),
    )


MEASURES = (
    Measure("distribution_mapping", "negative_log_likelihood", "entropy 1.6985"),
    Measure("distribution_mapping", "gap_to_truth", "", at_most=0.02),
    Measure("distribution_mapping", "c2st", ""),
    Measure("animal_faces", "bits_per_dim", "normflows, 7 minutes: 3.888", at_most=3.738),
    Measure("animal_faces", "auroc.beachball.likelihood", "prototype 0.999"),
    Measure("animal_faces", "auroc.beachball.combined", "", at_least=0.99),
    Measure("animal_faces", "auroc.beachball.compressor", "PNG alone 0.91"),
    Measure("mnist", "accuracy", "", at_least=0.985),
    Measure("mnist", "ece", "", at_most=0.01),
    Measure("mnist", "label_negative_log_likelihood", ""),
    Measure("mnist", "bits_per_dim", "Glow, full size: 1.05"),
    Measure("mnist", "auroc.fashion_mnist.likelihood", "", at_least=0.99),
    Measure("mnist", "auroc.fashion_mnist.combined", "", at_least=0.99),
    Measure("vector_classification", "accuracy", "Bayes' optimum: bayes_accuracy"),
    Measure("vector_classification", "bayes_accuracy", ""),
    Measure("vector_classification", "ece", ""),
    Measure("vector_classification", "c2st.mean", "", at_most=0.53),
    Measure("vector_classification", "mmd.mean", ""),
    Measure("vector_classification", "modes_covered", "", at_least=8),
    Measure("labelled_tables", "accuracy", "wine"),
    Measure("labelled_tables", "ece", "wine"),
    Measure("inverse_kinematics", "benchmark.posterior_error", "MDN 0.007, replicated 0.0031", at_most=0.0005),
    Measure("inverse_kinematics", "benchmark.posterior_error_median", "prototype 0.00028"),
    Measure("inverse_kinematics", "benchmark.resimulation_error", "best 0.008, replicated 0.0004", at_most=0.0003),
    Measure("inverse_kinematics", "hard_point.posterior_error", ""),
    Measure("inverse_kinematics", "divergence", "exact: 0"),
    *calibrated("inverse_kinematics"),
    Measure("gravity_inversion", "station_misfit.mean", "noise 0.1 mGal"),
    *agreeing("gravity_inversion"),
    *calibrated("gravity_inversion"),
    Measure("seismic_inversion", "resimulation_error.mean", "noise 0.0064 (km/s)²"),
    *agreeing("seismic_inversion"),
    *calibrated("seismic_inversion"),
)


def main() -> int:
    """Run what is wanted, and print the table."""
    arguments = _arguments()
    if arguments.run:
        for command in _missing(arguments):
            code = subprocess.run(command, cwd=EXPERIMENTS.parent, check=False).returncode  # noqa: S603
            if code:
                return code
    print(table())  # noqa: T201
    return 0


def table() -> str:
    """The measures as Markdown."""
    lines = ["| experiment | measure | published or reference | goal | reached |", "|---|---|---|---|---|"]
    for each in MEASURES:
        value = _value(each)
        shown = "not run" if value is None else f"{value:.4g}"
        missed = value is not None and not each.reached(value)
        lines.append(
            f"| {each.experiment} | {each.metric} | {each.published} | {each.goal()} | {shown}{' (missed)' * missed} |"
        )
    return "\n".join(lines)


def _value(measure: Measure) -> float | None:
    metrics = _metrics(measure.experiment)
    return read_metrics(metrics).get(measure.metric) if metrics.is_file() else None


def _metrics(experiment: str) -> Path:
    return RUNS / experiment / "reports" / _application(experiment) / "metrics.json"


def _application(experiment: str) -> str:
    return str(yaml.safe_load((EXPERIMENTS / f"{experiment}.yaml").read_text(encoding="utf-8"))["application"])


def _missing(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """The commands of the experiments that have not run."""
    for name in dict.fromkeys(each.experiment for each in MEASURES):
        command = [sys.executable, "-m", "experiments.run", name]
        if _application(name) in OF_IMAGES:
            folder = getattr(arguments, name)
            if folder is None:
                continue
            command += ["--data", str(folder)]
        if not _metrics(name).is_file():
            yield command


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run what has not run")
    parser.add_argument("--animal-faces", type=Path, help="the folder of cats and beach balls")
    parser.add_argument("--mnist", type=Path, help="the folder that experiments.folders makes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
