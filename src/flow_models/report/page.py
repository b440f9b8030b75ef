"""One HTML file that says what was measured: it opens offline, on any screen, and says all of it without a script."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from flow_models.report.gallery import Gallery
from flow_models.report.theme import png


@dataclass(frozen=True)
class Picture:
    """A figure with its title, what it shows in words (``alt``), and what to see in it (``caption``)."""

    figure: Figure
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Table:
    """A table of text; the first cell of a row names the row."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Headline:
    """One number that a reader should leave with."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, tables, pictures by name, and galleries."""

    title: str
    text: str
    tables: Sequence[Table] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    galleries: Sequence[Gallery] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether the model is good enough, in a sentence, and each condition with its outcome."""

    passed: bool
    sentence: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """All that the page says.

    Attributes:
        title: names the model.
        summary: a sentence or two on what it was measured on.
        verdict: stands at the top.
        headlines: stand beside it.
        sections: in order.
        facts: where it comes from: data digest, git commit, date.
        metrics: as in metrics.json, nested.
        settings: as in params.yaml, nested.
    """

    title: str
    summary: str
    verdict: Verdict
    headlines: Sequence[Headline]
    sections: Sequence[Section]
    facts: Mapping[str, str]
    metrics: Mapping[str, Any]
    settings: Mapping[str, Any]


def render_page(page: Page) -> str:
    """The page as HTML, its style and pictures inside it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"slug": _slug, "flat": flatten, "number": _number}
    template = files("flow_models.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    pictures = {id(picture): png(picture.figure) for each in page.sections for picture in each.pictures.values()}
    return environment.from_string(template).render(
        page=page,
        source=lambda picture: "data:image/png;base64," + base64.b64encode(pictures[id(picture)]).decode(),
        # Figures are drawn at twice the size at which they are shown, for dense screens.
        width=lambda picture: int.from_bytes(pictures[id(picture)][16:20], "big") // 2,
        height=lambda picture: int.from_bytes(pictures[id(picture)][20:24], "big") // 2,
    )


def write_page(page: Page, path: Path) -> None:
    """Write the page to one file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(render_page(page), encoding="utf-8")
    temporary.replace(path)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by their dotted path."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


def _slug(title: str) -> str:
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-")


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
