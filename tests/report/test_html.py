"""The page: it opens anywhere, runs nothing, loads nothing, and shows every name as text."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import Match, SearchResult
from bovw.errors import OutputError
from bovw.report.html import Figure, Page, row
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
        if tag not in ("meta", "img", "br"):
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


def parsed(tmp_path: Path, result: SearchResult) -> Parsed:
    with Page(tmp_path / "page.html") as page:
        page.write(result.row())
    found = Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not found.open
    return found


def test_names_stay_text_and_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    page = parsed(tmp_path, answer([EVIL, str(tmp_path / EVIL)], EVIL))
    tags = [tag for tag, _ in page.tags]
    assert "script" not in tags and "link" not in tags
    assert "<script>alert(1)</script>" in page.text and "\\udcff" in page.text
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and "content" in attributes and "http-equiv" in attributes
    )
    assert policy is not None and policy.startswith("default-src 'none'")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert str(attributes.get("src", "data:")).startswith("data:")


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


def test_a_picture_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    page = Parsed(
        row(
            "title",
            "facts",
            [Figure(str(tmp_path / "gone.jpg"), OUTLINE, "yes", "verified", ["a line"])],
        )
    )
    assert "there is no such file" in page.text and "a line" in page.text


def test_a_result_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    shown = Parsed(answer([str(tmp_path / "gone.jpg")], "<array>")._repr_html_())
    assert ("h2", {}) in shown.tags and "<array>" in shown.text and "1. verified" in shown.text


def test_a_page_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Page(tmp_path / "absent" / "page.html")
