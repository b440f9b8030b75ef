import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from flow_models.report.gallery import Gallery, Tile
from flow_models.report.page import Headline, Page, Picture, Section, Table, Verdict, flatten, render_page, write_page

VOID = {"meta", "img", "br", "hr", "link"}


class Outline(HTMLParser):
    """Elements with their attributes, in order; fails on one that is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page() -> Page:
    figure = Figure(figsize=(2, 1))
    return Page(
        title="Cats & <dogs>",
        summary="Measured on 12 images.",
        verdict=Verdict(passed=False, sentence="Not good enough", reasons=["bits_per_dim 7 is above 6"]),
        headlines=[Headline("validation inliers", "3.141", "bits per dimension")],
        sections=[
            Section(
                "Outlier detection",
                "Every other class is a set of outliers.",
                tables=[Table("AUROC", ["Set", "likelihood"], [["<script>alert(1)</script>", "0.912"]])],
                pictures={"roc": Picture(figure, "ROC", "The upper left is best.", 'Curves of "likelihood"')},
            ),
            Section("Generation", "Drawn from the model."),
        ],
        facts={"Git commit": "0123abc"},
        metrics={"bits_per_dim": 3.14159265, "auroc": {"noise": {"likelihood": 0.5}}},
        settings={"data": {"inliers": ["cat"], "source": "s3://bucket/cats"}},
    )


def test_the_page_opens_offline(page: Page) -> None:
    html = render_page(page)
    assert not re.search(r"https?://|<script|@import|url\(", html)
    outline = Outline(html)
    sources = [attributes["src"] or "" for attributes in outline.named("img")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not outline.named("link")


@pytest.fixture
def with_gallery(page: Page) -> Page:
    tiles = [
        Tile(np.full((4, 4, channels), 9, np.uint8), f"val/{name}.png", "noise <x>", [score, 0.5])
        for name, score, channels in (("a", 7.25, 1), ("b", np.inf, 3))
    ]
    gallery = Gallery("Most outlying", "Sort them.", {"score": True, "p-value": False}, tiles)
    return replace(page, sections=[*page.sections, Section("Gallery", "Images.", galleries=[gallery])])


def test_a_gallery_is_inside_the_page_and_says_all_without_its_script(with_gallery: Page) -> None:
    html = render_page(with_gallery)
    assert not re.search(r"https?://|<script src|@import|url\(", html)
    outline = Outline(html)
    tiles = [attributes for attributes in outline.named("li") if "data-values" in attributes]
    assert [tile["data-values"] for tile in tiles] == ["7.25 0.5", "inf 0.5"]
    assert {tile["data-set"] for tile in tiles} == {"noise <x>"}
    assert [image["alt"] for image in outline.named("img")][1:] == ["val/a.png", "val/b.png"]
    # Without a script there is no order to choose, and nothing that does not work.
    assert all("hidden" in each for each in outline.named("div") if each.get("class") == "choices")
    assert "<span>score 7.25</span>" in html


def test_the_verdict_stands_before_all_sections(page: Page) -> None:
    html = render_page(page)
    assert 0 < html.index("Not good enough") < html.index("bits_per_dim 7 is above 6") < html.index("<section")


def test_text_from_the_data_is_escaped(page: Page) -> None:
    html = render_page(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<title>Cats &amp; &lt;dogs&gt;</title>" in html


def test_every_entry_of_the_contents_leads_somewhere(page: Page) -> None:
    outline = Outline(render_page(page))
    identifiers = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {(attributes["href"] or "").removeprefix("#") for attributes in outline.named("a")}
    assert {"outlier-detection", "generation", "provenance"} <= targets <= set(identifiers)


def test_every_picture_is_described_in_words(page: Page) -> None:
    (image,) = Outline(render_page(page)).named("img")
    assert image["alt"] == 'Curves of "likelihood"'
    assert (image["width"], image["height"]) == ("200", "100")


def test_headings_leave_out_no_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in Outline(render_page(page)).elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_measures_and_settings_stand_in_full(page: Page) -> None:
    html = render_page(page)
    for text in ("auroc.noise.likelihood", "3.142", "data.inliers", "s3://bucket/cats", "0123abc"):
        assert text in html


def test_flatten_names_leaves_by_their_path() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}


def test_the_page_is_written_whole(page: Page, tmp_path: Path) -> None:
    write_page(page, tmp_path / "reports" / "report.html")
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["report.html"]
    assert (tmp_path / "reports" / "report.html").read_text(encoding="utf-8") == render_page(page)
