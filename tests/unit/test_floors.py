"""The house's rules: who may import whom, and how large a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src/flow_models"

# Each floor imports only from floors below it; what stands in one line shares a floor.
FLOORS = [
    {"errors", "seeds", "settings"},
    {"bijectors", "partition", "report", "data", "simulators"},
    {"streams"},
    {"architectures", "base", "statistics", "console"},
    {"model", "validation"},
    {"training", "evaluation", "registry"},
    {"saved_model"},
    {"saved_vectors"},
    {"applications", "estimators"},
    {"stages", "data_stages", "commands", "drift_stage", "logged_models"},
    {"cli", "__main__", "__init__"},
]
TFP_FLOORS = {"bijectors", "architectures", "model", "training"}
LONGEST = 400

files = pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))


def floor_of(part: str) -> int:
    return next(index for index, parts in enumerate(FLOORS) if part in parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            # `from flow_models import model` names the part in the alias.
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "flow_models" else (module,)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@files
def test_a_floor_imports_only_from_floors_below(path: Path) -> None:
    own = part_of(path)
    parts = {module.split(".")[1] for module in imported(path) if module.startswith("flow_models.")}
    above = {part for part in parts - {own} if floor_of(part) > floor_of(own)}
    assert not above


@files
def test_only_the_network_and_its_training_know_tfp(path: Path) -> None:
    if part_of(path) not in TFP_FLOORS:
        assert not any(module.startswith("tensorflow_probability") for module in imported(path))


@pytest.mark.parametrize("folder", ["src", "flows", "deploy", "tests", "benchmarks"])
def test_no_file_is_longer_than_one_can_read(folder: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (PROJECT / folder).rglob("*.py")}
    assert not {path: length for path, length in lengths.items() if length > LONGEST}
