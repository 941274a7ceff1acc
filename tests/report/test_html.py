"""The page: it opens anywhere, runs nothing, loads nothing, and shows every name as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import Match, SearchResult
from bovw.errors import OutputError
from bovw.report.html import Figure, Page, figure_view
from bovw.report.rendering import FOLDER, environment, render
from bovw.search.result import chance_text
from tests.helpers.pictures import textured

EVIL = "<script>alert(1)</script>\"' onload=x &amp;\udcff\n.png"
OUTLINE = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])


class Parsed(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "input", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def answer(paths: list[str], query: str) -> SearchResult:
    matches = [
        Match(
            path,
            10.0,
            path,
            inliers=5,
            verified=True,
            log_false_alarms=-9.0,
            model="affine",
            rotation=3.0,
            scale=1.5,
            outline=OUTLINE,
            homography=np.eye(3),
            correspondences=np.zeros((5, 4)),
        )
        if place % 2 == 0
        else Match(path, 1.0, path)
        for place, path in enumerate(paths)
    ]
    return SearchResult(query, (80, 60), (0, 0, 80, 60), 100, {"scan": 0.01}, matches)


def parsed(tmp_path: Path, *results: SearchResult) -> Parsed:
    with Page(tmp_path / "page.html", "answers") as page:
        for result in results:
            page.add(result.query, result.html(page.folder), result.facts)
    found = Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not found.open
    return found


def test_names_stay_text_and_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    names = [EVIL, str(tmp_path / EVIL), "javascript:alert(1)", "half a letter \ud800"]
    page = parsed(tmp_path, answer(names, EVIL), answer([], EVIL))
    tags = [tag for tag, _ in page.tags]
    assert "script" not in tags and "link" not in tags
    # in the contents, as headings, and beside the pictures
    assert page.text.count("<script>alert(1)</script>") == 8 and "\\udcff" in page.text
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and "content" in attributes and "http-equiv" in attributes
    )
    assert policy is not None and policy.startswith("default-src 'none'")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert str(attributes.get("src", "data:")).startswith("data:")
        link = attributes.get("href") or "#"
        assert link.startswith(("#", "file:///", "..")) and "<" not in link


@pytest.mark.slow
def test_a_thousand_matches_with_their_outlines(tmp_path: Path) -> None:
    path = str(tmp_path / "picture.png")
    cv2.imwrite(path, textured(1, 80, 60))
    page = parsed(tmp_path, answer([path] * 1000, path))
    tags = [tag for tag, _ in page.tags]
    assert (
        tags.count("img") == 1001 and tags.count("figure") == 1001 and tags.count("polygon") == 500
    )
    assert {attributes["viewbox"] for tag, attributes in page.tags if tag == "svg"} == {"0 0 80 60"}
    assert {attributes["points"] for tag, attributes in page.tags if tag == "polygon"} == {
        "0.5,0.5 9.5,0.5 9.5,9.5 0.5,9.5"
    }


def test_a_page_is_one_for_a_reader_who_sees_no_colours_or_no_pictures(tmp_path: Path) -> None:
    path = str(tmp_path / "picture.png")
    cv2.imwrite(path, textured(1, 80, 60))
    page = parsed(tmp_path, answer([path, path, path], path), answer([path], "<array>"))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1 and tags.count("h2") == 2 and tags.count("nav") == 1
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 5
    assert all(each["alt"] and each["loading"] == "lazy" for each in pictures)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links.count((tmp_path / "picture.png").as_uri()) == 5 and links[:2] == ["#s1", "#s2"]
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section"] == ["s1", "s2"]
    # what nothing verifies is folded
    shown, _, folded = page.text.partition("Not verified: 1")
    assert "✓ 1. verified" in shown and "✓ 3. verified" in shown and "2. " not in shown
    assert "- 2. unchecked" in folded
    assert "✓ 2 verified" in shown and "10^" not in page.text


def test_links_of_relative_paths_are_relative_to_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    view = figure_view(Figure("a", "photos/50 % #1?.jpg", None, "query", "Query"), "out/pages")
    assert view["link"] == "../../photos/50%20%25%20%231%3F.jpg"
    frame = figure_view(Figure("a", "films/a b.mp4#t=4.2", None, "query", "Query"), "out")
    assert frame["link"] == "../films/a%20b.mp4#t=4.2"
    passing = Figure("a", "photos/a.jpg", None, "query", "Query", stays=False)
    assert figure_view(passing, "out")["link"] == ""


def test_a_picture_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    figure = Figure("n", str(tmp_path / "gone.jpg"), OUTLINE, "verified", "verified", ["a line"])
    with Page(tmp_path / "page.html", "answers") as page:
        views = [figure_view(figure, page.folder)]
        page.add("failures", render("failures.html", note="", failures=[("q", "late", views)]))
    found = Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "there is no such file" in found.text and "a line" in found.text


def test_a_result_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    shown = Parsed(answer([str(tmp_path / "gone.jpg")], "<array>")._repr_html_())
    assert ("h2", {}) in shown.tags and "<array>" in shown.text and "1. verified" in shown.text


@pytest.mark.parametrize(
    ("log_false_alarms", "words"),
    [
        (float("inf"), "chance alone gives 1 billion such images"),
        (0.48, "chance alone gives 3 such images"),
        (-0.3, "chance would do as well in 50 % of searches"),
        (-2.0, "chance would do as well once in 100 searches"),
        (-3.6, "chance would do as well once in 4,000 searches"),
        (-9.3, "chance would do as well once in 2 billion searches"),
        (-2209.8, "chance would do as well less than once in a trillion searches"),
    ],
)
def test_false_alarms_are_told_in_words(log_false_alarms: float, words: str) -> None:
    assert chance_text(log_false_alarms) == words


def luminance(colour: str) -> float:
    """The relative luminance of #rrggbb as WCAG 2 defines it."""
    levels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_are_legible(scheme: int) -> None:
    """Text has the 4.5 : 1 of WCAG 2.2 (1.4.3), what else is to be seen 3 : 1 (1.4.11)."""
    assert contrast("#000000", "#ffffff") == 21
    style = (FOLDER / "style.css").read_text()
    colours = {
        name: values[scheme]
        for name, *values in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", style)
    }
    texts = {"ink", "soft", "link", "yes", "maybe", "no"}
    assert colours.keys() == texts | {"paper", "panel", "line", "bar"}
    for name in texts:
        for ground in ("paper", "panel"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["bar"], colours["paper"]) >= 3
    assert contrast(colours["ink"], colours["bar"]) >= 3


def test_other_rooms_have_the_same_base_and_their_own_templates(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text(
        '{% extends "base.html" %}{% block main %}{{ name }}{% endblock %}'
    )
    page = environment(tmp_path).get_template("own.html").render(title="<t>", name="<n>\n\u202e")
    assert "<title>&lt;t&gt;</title>" in page and "&lt;n&gt;\\n\\u202e" in page
    assert ".bovw {" in page


def test_a_page_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Page(tmp_path / "absent" / "page.html", "answers")
