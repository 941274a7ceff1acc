"""The page in a real browser: Chromium, by Playwright. Skipped where either is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from bovw.index.record import image_key

from .test_command import running

pytestmark = pytest.mark.slow
expect.set_options(timeout=30_000)  # on a busy machine
# For what is worked out in the background.
SURVEY_MS = 180_000

AXE = "axe-core@4.14.1"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
LARGE = image_key("photos/large.png")
# What a drop or a paste gives to the page.
GIVE = """([kind, bytes, target]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.querySelector(target).dispatchEvent(event);
}"""
MIDDLE = """([x, y]) => {
  const stage = document.querySelector("#stage");
  const context = stage.getContext("2d");
  const ratio = stage.width / stage.clientWidth;
  return [...context.getImageData(x * ratio, y * ratio, 1, 1).data];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: that of the system, or Playwright's own."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Exception as error:
            pytest.skip(f"no Chromium (apt install chromium): {error}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(
    collection: Path, copied: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server of the collection and of one with duplicates, with an experiment."""
    folder = tmp_path_factory.mktemp("experiments")
    query = {"query": "a", "set": "s", "group": "a", "seconds": 0.1, "corner_error": None}
    query |= {"picture": os.fspath(folder / "crop.png"), "values": {"Success@1": 1.0}}
    shutil.copy(collection / "crop.png", folder)
    means = {"Success@1": {"mean": 1.0, "low": 0.5, "high": 1.0}}
    facts = {
        "folder": os.fspath(collection),
        "sets": [{"set": "s", "queries": 1, "means": means}],
        "queries": [{**query, "first": ["photos/large.png"], "relevant": ["photos/large.png"]}],
    }
    (folder / "one.json").write_text(json.dumps(facts))
    (folder / "broken.json").write_text("{")
    command = ["-m", "bovw", "serve", "--index", "photos.bovw", "--port", "0", "--jobs", "1"]
    command += ["--index", os.fspath(copied / "copied.bovw")]
    cache = os.fspath(tmp_path_factory.mktemp("cache"))
    more = ["--experiments", os.fspath(folder), "--cache", cache]
    with running([*command, *more], collection) as (_, url):
        yield url


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """A page of the server; whatever the browser complains of fails the test."""
    context = browser.new_context(base_url=server, viewport=DESK)  # type: ignore[arg-type]
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    wrong: list[str] = []

    def hear(line: ConsoleMessage) -> None:
        if line.type == "error" and "status of 422" not in line.text:
            wrong.append(line.text)

    def watch(request: Request) -> None:
        if not request.url.startswith((server, "blob:")):
            wrong.append(request.url)

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", hear)
    page.on("request", watch)
    yield page
    context.close()
    assert not wrong


def asked(page: Page, collection: Path) -> None:
    """Ask with the crop, and wait for the answer."""
    page.goto("/")
    page.set_input_files("#file", collection / "crop.png")
    expect(page.locator("#certain .card.verified")).to_have_count(1)


def test_a_picture_is_chosen_dropped_and_pasted(page: Page, collection: Path) -> None:
    asked(page, collection)
    expect(page.locator("#answer-title")).to_have_text("1 certain answer")
    card = page.locator("#certain .card")
    expect(card).to_contain_text("Verified")
    expect(card).to_contain_text("photos/large.png")
    expect(card.locator("polygon.over")).to_have_count(1)
    expect(page.locator("#uncertain .card").first).to_be_hidden()
    page.get_by_text("other images that nothing verifies").click()
    expect(page.locator("#uncertain .card").first).to_contain_text(
        re.compile("No agreement|Unsure")
    )
    card.get_by_role("button", name="Copy").click()
    assert page.evaluate("() => navigator.clipboard.readText()") == "photos/large.png"
    content = list((collection / "crop.png").read_bytes())
    for kind, target in (("drop", "#drop"), ("paste", "body")):
        page.goto("/")
        page.evaluate(GIVE, [kind, content, target])
        expect(page.locator("#certain .card.verified")).to_have_count(1)
        expect(page.locator("#query-name")).to_contain_text(
            re.compile("given.png, 160 . 120 pixels")
        )
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"text"})
    expect(page.locator("#problem")).to_have_text("a.png: is not an image of a known format")
    expect(page.locator("#answer")).to_be_hidden()


def test_the_state_is_in_the_url(page: Page, collection: Path) -> None:
    asked(page, collection)
    url = page.url
    page.check("[name=whole][value='1']")
    expect(page).to_have_url(re.compile("whole=1"))
    page.go_back()
    expect(page.locator("[name=whole][value='']")).to_be_checked()
    page.goto("/browse")
    page.goto(f"{url}&look={LARGE}")
    expect(page.locator("#look")).to_be_visible()
    expect(page.locator("#look-title")).to_have_text("photos/large.png")
    page.keyboard.press("Escape")
    expect(page.locator("#look")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("look"))


def test_a_box_is_drawn_by_mouse_touch_and_keys(page: Page, browser: Browser, server: str) -> None:
    page.goto(f"/?index=photos&image={LARGE}&whole=1")
    expect(page.locator("#certain .card").first).to_be_visible()
    frame = page.locator("#frame").bounding_box()
    assert frame
    page.mouse.move(frame["x"] + frame["width"] * 0.25, frame["y"] + frame["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.75, frame["y"] + frame["height"] * 0.75)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"box=80%2C60%2C16\d%2C12\d"))
    page.click("#clear-box")
    expect(page).not_to_have_url(re.compile("box"))
    page.focus("#frame")
    for key in ("Enter", "ArrowRight", "ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile("box=86%2C65%2C154%2C120"))
    page.locator("#box-numbers summary").click()
    page.fill("#box-w", "100")
    page.keyboard.press("Tab")
    expect(page).to_have_url(re.compile("box=86%2C65%2C100%2C120"))
    page.focus("#frame")
    page.keyboard.press("Delete")
    expect(page).not_to_have_url(re.compile("box"))
    phone = browser.new_context(base_url=server, viewport=PHONE, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    touched = phone.new_page()
    touched.goto(f"/?index=photos&image={LARGE}")
    expect(touched.locator("#certain .card").first).to_be_visible()
    touched.get_by_role("button", name="Draw a box").tap()
    box = touched.locator("#frame").bounding_box()
    assert box
    session = phone.new_cdp_session(touched)
    places = [
        (box["x"] + box["width"] * at, box["y"] + box["height"] * at) for at in (0.2, 0.5, 0.8)
    ]
    for name, (x, y) in zip(("touchStart", "touchMove", "touchMove"), places, strict=True):
        points = {"type": name, "touchPoints": [{"x": x, "y": y}]}
        session.send("Input.dispatchTouchEvent", points)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(touched).to_have_url(re.compile(r"box=6[3-5]%2C4[7-9]%2C19\d%2C14\d"))
    phone.close()


def test_a_match_is_looked_at_closely(page: Page, collection: Path, tmp_path: Path) -> None:
    asked(page, collection)
    page.focus("#certain a.picture")
    page.keyboard.press("Enter")
    stage = page.locator("#stage")
    expect(stage).to_be_focused()
    box = stage.bounding_box()
    assert box
    quarter = (box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.move(*quarter)
    place = page.locator("#stage-place")
    expect(place).to_have_text(re.compile(r"^query 80, 60 ↔ image 1[34]\d, 1[01]\d$"))
    before = place.text_content()
    for _ in range(3):
        page.mouse.wheel(0, -400)
    page.mouse.move(quarter[0] + 1, quarter[1])
    expect(place).to_have_text(before or "")  # the same place, larger
    page.mouse.move(box["x"] + box["width"] * 3 / 4, quarter[1])
    expect(place).to_have_text(before or "")  # and the same in the middle of the other picture
    page.keyboard.press("0")
    page.check("[name=view][value=over]")
    page.fill("#fade", "100")
    page.check("#differences")
    expect(page.locator("#stage-state")).to_have_text("0 places differ.")
    middle = [box["width"] / 2, box["height"] / 2]
    covered = page.evaluate(MIDDLE, middle)
    page.fill("#fade", "0")
    page.wait_for_timeout(100)
    bare = page.evaluate(MIDDLE, middle)
    assert covered[3] == bare[3] == 255  # something is drawn, with the query and without
    for name, ending in (("Save drawing", ".png"), ("Save JSON", ".json")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=name).click()
        saved.value.save_as(tmp_path / f"saved{ending}")
    assert (tmp_path / "saved.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "saved.json").read_text())["key"] == LARGE
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#certain a.picture")).to_be_focused()
    page.goto(f"{page.url}&box=8,8,144,104&look={LARGE}")
    expect(page.locator("#look")).to_be_visible()
    page.check("#differences")
    expect(page.locator("#stage-state")).to_have_text("0 places differ within the box.")


def test_arrows_move_among_the_answers(page: Page, collection: Path) -> None:
    asked(page, collection)
    page.get_by_text("other images that nothing verifies").click()
    pictures = page.locator("#answer a.picture")
    pictures.nth(0).focus()
    page.keyboard.press("ArrowRight")
    expect(pictures.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(pictures.last).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    expect(pictures.nth(0)).to_be_focused()


def test_the_collection_and_the_experiments_are_browsed(page: Page) -> None:
    page.goto("/browse")
    expect(page.locator(".tiles img")).to_have_count(11)
    page.locator(".tiles li", has_text="large.png").get_by_text("Find this").click()
    expect(page.locator("#certain .card").first).to_contain_text("photos/large.png")
    page.goto("/experiments")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="one").click()
    case = page.locator(".case")
    expect(case.locator(".right")).to_contain_text("1. right photos/large.png")
    for picture in case.locator("img").all():
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("each => each.naturalWidth") > 0
    page.get_by_label("Show").select_option("wrong")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No query is like that.")).to_be_visible()


def test_what_looks_alike_is_asked_and_the_state_is_in_the_url(page: Page) -> None:
    page.goto("/browse")
    page.locator(".tiles li", has_text="large.png").get_by_text("Looks like this").click()
    expect(page.locator("#alike .card")).to_have_count(10)  # all but itself
    page.get_by_label("Compare").select_option("colour")
    expect(page).to_have_url(re.compile("by=colour"))
    expect(page.locator("#timing")).to_contain_text("By colour 1")
    page.locator("#alike a.picture").first.click()
    expect(page.locator("#look")).to_be_visible()
    expect(page).to_have_url(re.compile("look="))
    page.keyboard.press("Escape")
    expect(page.locator("#look")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("look="))
    page.go_back()
    page.go_back()
    page.go_back()
    expect(page.locator("#timing")).to_contain_text("By vlad 1, colour 0.1")
    page.get_by_label("Compare").select_option("words")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"text"})
    expect(page.locator("#problem")).to_have_text("a.png: is not an image of a known format")


def test_duplicates_are_seen_in_pairs(page: Page) -> None:
    visit(page, "/duplicates?index=copied")
    group = page.locator(".group", has_text="half.png")
    expect(group.locator(".card").first).to_contain_text("Keep")
    expect(group.locator(".card").nth(1)).to_contain_text("0.5 x")
    group.locator("a.pair").click()
    expect(page.locator("#look")).to_be_visible()
    expect(page.locator("#look-title")).to_contain_text("half.png (0.5 x) beside")
    expect(page.locator("#look-words")).to_contain_text("Verified")
    page.reload()
    expect(page.locator("#look")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"index=copied&?$|index=copied&page=1$"))


def test_clusters_and_the_map_lead_to_their_pictures(page: Page) -> None:
    visit(page, "/clusters?by=colour&count=3&least=1")
    page.get_by_role("link", name="Browse cluster-1").click()
    expect(page.locator("h1")).to_have_text("photos: cluster-1")
    assert page.locator(".tiles img").count() >= 3
    visit(page, "/map?index=copied")
    canvas = page.locator("#canvas")
    expect(page.locator("#map[data-ready]")).to_be_visible()
    canvas.focus()
    page.keyboard.press("Enter")
    tip = page.locator("#tip.pinned")
    expect(tip.locator("b")).to_contain_text(".png")
    page.check("#grid")
    expect(page.locator("#tip")).to_be_hidden()
    page.fill("#find", "half")
    expect(page.locator("#hits")).to_have_text("1 found")
    canvas.focus()
    page.keyboard.press("Enter")
    expect(tip.locator("b")).to_contain_text("half.png")
    tip.get_by_text("Looks like this").click()
    expect(page.locator("#alike .card")).to_have_count(4)


def test_pages_are_light(page: Page, collection: Path) -> None:
    """Below 150 KB beside pictures, as they are sent."""
    sizes: dict[str, int] = {}

    def note(response: Any) -> None:
        if not response.headers.get("content-type", "").startswith("image/jpeg"):
            sizes[response.url] = len(response.body())

    page.on("requestfinished", lambda request: note(request.response()))
    asked(page, collection)
    page.wait_for_load_state("networkidle")
    assert len(sizes) > 8 and sum(sizes.values()) < 150_000


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, kept for later runs."""
    folder = Path(tempfile.gettempdir()) / "bovw-axe"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        if not shutil.which("npm"):
            pytest.skip("npm, which gets axe-core, is not installed")
        command = ["npm", "install", "--prefix", os.fspath(folder), AXE]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip(f"npm cannot get {AXE}")
    return script.read_text()


SURVEYS = ("/duplicates?index=copied", "/clusters?by=colour&count=3&least=1", "/map?index=copied")
PLACES = (
    *("/", "/similar", "/browse", *SURVEYS),
    *("/experiments", "/experiments/one", "/api", "/login", "/no"),
)


def visit(page: Page, place: str) -> None:
    """Go to a page, and wait until it shows what was found."""
    page.goto(place)
    if place in SURVEYS:
        expect(page.locator(".group, .map").first).to_be_visible(timeout=SURVEY_MS)


def wide(page: Page) -> int:
    """Pixels by which a page would have to be scrolled sideways."""
    return int(page.evaluate("() => document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_nothing_keeps_anybody_from_using_it(
    browser: Browser, server: str, collection: Path, axe: str, viewport: Any, scheme: Any
) -> None:
    """axe-core finds no violation, contrast included."""
    context = browser.new_context(
        base_url=server,
        viewport=viewport,
        color_scheme=scheme,
        bypass_csp=True,  # axe is put into the page
    )
    page = context.new_page()

    def look(name: str) -> None:
        page.evaluate(axe)
        found = page.evaluate("() => axe.run()")
        wrong = [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
        assert not wrong, (name, wrong)
        assert wide(page) <= 0, name

    page.route("**/api/v1/clusters*", lambda _: None)  # the page waits for ever
    page.goto(f"/clusters?by=colour&count={viewport['width']}")
    look("working")
    page.unroute("**/api/v1/clusters*")
    for place in PLACES:
        visit(page, place)
        look(place)
    asked(page, collection)
    page.get_by_text("other images that nothing verifies").click()
    look("answer")
    page.click("#certain a.picture")
    expect(page.locator("#look")).to_be_visible()
    look("look")
    context.close()


def test_nothing_is_cut_off_at_twice_the_size(page: Page, collection: Path) -> None:
    """200 % zoom is half as many pixels of CSS."""
    page.set_viewport_size({"width": DESK["width"] // 4, "height": DESK["height"] // 4})
    for place in PLACES[:-1]:
        visit(page, place)
        assert wide(page) <= 0, place
    asked(page, collection)
    assert wide(page) <= 0
    page.click("#certain a.picture")
    expect(page.get_by_role("button", name="Save JSON")).to_be_visible()
    assert wide(page) <= 0
