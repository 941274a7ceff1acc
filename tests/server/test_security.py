"""What SECURITY.md says of the server, tried."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bovw import ImageIndex, ParameterError, Vocabulary
from bovw.index.record import image_key
from bovw.server.cache import FolderCache
from bovw.server.security import COOKIE
from bovw.server.settings import ServerSettings
from tests.helpers.pictures import encoded, textured

from .conftest import Serve
from .test_api import API, problem

TOKEN = "correct horse"
ELSEWHERE = "http://evil.example"
# How a browser follows a link from another site.
FOLLOWED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


def test_it_answers_for_its_own_names_only(client: TestClient, serve: Serve) -> None:
    for host in ("localhost", "127.0.0.1:8717", "[::1]:8717", "LOCALHOST"):
        assert client.get(f"{API}/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "192.168.1.2", "", "[", "a@localhost:x"):
        answer = client.get(f"{API}/healthz", headers={"Host": host})
        assert "does not answer for" in problem(answer, 421), host
    public = serve(host="0.0.0.0", token=TOKEN, allow_hosts=["Pictures.example"])
    for host, status in (("pictures.example:80", 200), ("192.168.1.2", 200), ("evil.example", 421)):
        assert public.get(f"{API}/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ELSEWHERE},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {**FOLLOWED, "Sec-Fetch-Dest": "document"},
    ],
)
def test_other_sites_ask_nothing(
    client: TestClient, collection: Path, headers: dict[str, str]
) -> None:
    crop = {"picture": (collection / "crop.png").read_bytes()}
    answer = client.post(f"{API}/search", files=crop, headers=headers)
    assert "another site" in problem(answer, 403)
    if "Sec-Fetch-Mode" not in headers:  # a link to us may be followed, a picture not be embedded
        url = f"{API}/images/{image_key('photos/0.png')}/thumbnail"
        problem(client.get(url, headers=headers), 403)


def test_our_own_page_and_programs_ask(client: TestClient) -> None:
    for headers in ({}, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}):
        assert client.post(f"{API}/search", json={}, headers=headers).status_code == 422
    assert client.get("/", headers={**FOLLOWED, "Sec-Fetch-Dest": "document"}).status_code == 200
    problem(client.get("/", headers={**FOLLOWED, "Sec-Fetch-Dest": "iframe"}), 403)


def test_nobody_from_elsewhere_is_served_without_a_token(settings: ServerSettings) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "pictures.example"):
        with pytest.raises(ParameterError, match="give a token"):
            ServerSettings(settings.indexes, host=host)
    with pytest.raises(ParameterError, match="8 characters"):
        ServerSettings(settings.indexes, token="1234567")
    with pytest.raises(ParameterError, match="not writable"):
        ServerSettings(settings.indexes, upload_to=Path("/tmp"))


def test_whoever_lacks_the_token_gets_nothing(serve: Serve) -> None:
    client = serve(token=TOKEN)
    places = ["/", "/browse", "/api", "/static/search.js", f"{API}/images", f"{API}/metrics"]
    for place in places:
        answer = client.get(place)
        assert "token" in problem(answer, 401), place
        assert answer.headers["www-authenticate"] == "Bearer"
    for given in ("", "wrong", TOKEN[:-1], f"{TOKEN}x", "ü"):
        wrong = {b"Authorization": f"Bearer {given}".encode()}
        assert client.get(f"{API}/images", headers=wrong).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert all(client.get(place, headers=headers).status_code == 200 for place in places)
    assert client.get(f"{API}/healthz").status_code == 200


def test_a_browser_is_asked_for_the_token_and_keeps_no_token(serve: Serve) -> None:
    client = serve(token=TOKEN)
    page = client.get("/browse", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    entered = client.post("/login", data={"token": TOKEN})
    cookie = entered.headers["set-cookie"]
    assert TOKEN not in cookie and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert client.get("/browse").status_code == 200
    client.cookies.set(COOKIE, TOKEN)
    assert client.get("/browse").status_code == 401


def test_no_path_leads_to_a_file(client: TestClient) -> None:
    for key in (
        "..%2f..%2fetc%2fpasswd",
        "photos%2f0.png",
        "%2fetc%2fpasswd",
        "..",
        "0" * 15,
        "g" * 16,
        "ABCDEF0123456789",
        "x" * 5000,
    ):
        for ending in ("", "/thumbnail", "/file"):
            assert client.get(f"{API}/images/{key}{ending}").status_code in (404, 307), key
        assert client.get(f"{API}/queries/{key}/thumbnail").status_code == 404
    for path in ("/static/../settings.py", "/static/%2e%2e/settings.py", "/static//etc/passwd"):
        assert client.get(path).status_code == 404


def test_paths_are_taken_below_allowed_folders_only(
    client: TestClient, serve: Serve, tmp_path: Path
) -> None:
    picture = encoded(textured(5, 160, 120))
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "a.png").write_bytes(picture)
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "allowed-not" / "a.png").write_bytes(picture)
    (tmp_path / "allowed" / "link.png").symlink_to(tmp_path / "allowed-not" / "a.png")
    (tmp_path / "allowed" / "folder").symlink_to(tmp_path / "allowed-not")
    os.mkfifo(tmp_path / "allowed" / "pipe.png")
    inside = os.fspath(tmp_path / "allowed" / "a.png")
    assert "does not lie below" in problem(client.post(f"{API}/search", json={"path": inside}), 403)
    allowing = serve(allow_paths=[tmp_path / "allowed"])
    assert allowing.post(f"{API}/search", json={"path": inside}).json()["query"] == inside
    for path in (
        "allowed-not/a.png",
        "allowed/../allowed-not/a.png",
        "allowed/link.png",
        "allowed/link.png#page=1",
        "allowed/folder/a.png",
        "allowed",
    ):
        body = {"path": os.fspath(tmp_path / path)}
        problem(allowing.post(f"{API}/search", json=body), 403)
    problem(allowing.post(f"{API}/search", json={"path": "a\0b"}), 403)
    body = {"path": os.fspath(tmp_path / "allowed" / "pipe.png")}
    assert "not a regular file" in problem(allowing.post(f"{API}/search", json=body), 422)


@pytest.mark.slow
def test_a_file_that_is_not_what_was_indexed_is_not_served(
    serve: Serve, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    """Neither another picture nor whatever a link leads to by now."""
    for number, name in enumerate(("same", "touched", "linked", "other", "page")):
        (tmp_path / f"{name}.png").write_bytes(encoded(textured(number, 160, 120)))
    with ImageIndex.create(tmp_path / "a.bovw", vocabulary, picture_root=tmp_path) as index:
        index.add(tmp_path)
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(textured(9, 160, 120)))
    os.utime(tmp_path / "touched.png")
    (tmp_path / "linked.png").unlink()
    (tmp_path / "linked.png").symlink_to(secret)
    shutil.copy(secret, tmp_path / "other.png")
    (tmp_path / "page.png").write_text("<html><script>alert(1)</script>")
    client = serve(indexes=[tmp_path / "a.bovw"])
    for name, status in (
        ("same", 200), ("touched", 200), ("linked", 422), ("other", 422), ("page", 422),
    ):  # fmt: skip
        key = image_key(f"{name}.png")
        for ending in ("thumbnail", "file"):
            answer = client.get(f"{API}/images/{key}/{ending}")
            assert answer.status_code == status, (name, ending)
        assert client.post(f"{API}/search", json={"image": key}).status_code == status


def test_nothing_is_ever_taken_for_a_page_of_ours(client: TestClient) -> None:
    key = image_key("photos/0.png")
    file = client.get(f"{API}/images/{key}/file")
    assert file.headers["content-security-policy"] == "default-src 'none'; sandbox"
    places = ["/", "/browse", "/nothing", "/static/look.js", f"{API}/healthz", f"{API}/nothing"]
    for answer in (file, *map(client.get, places)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.slow
def test_names_of_pictures_are_text(serve: Serve, tmp_path: Path, vocabulary: Vocabulary) -> None:
    names = ["<img src=x onerror=alert(1)>.png", "'\"><script>1<.png", "a\u202egpj.png"]
    names.append("\udcff.png")
    picture = encoded(textured(1, 160, 120))
    with ImageIndex.create(tmp_path / "a.bovw", vocabulary, picture_root=tmp_path) as index:
        for number, name in enumerate(names):
            (tmp_path / name).write_bytes(encoded(textured(number, 160, 120)))
        index.add([tmp_path / name for name in names])
    client = serve(indexes=[tmp_path / "a.bovw"])
    page = client.get("/browse").text
    assert "<script>1" not in page and "<img src=x" not in page and "\u202e" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.png" in page
    found = client.post(f"{API}/search", files={"picture": ("<b>", picture)}).json()
    assert {match["id"] for match in found["matches"]} == set(names)
    for name in names:
        answer = client.get(f"{API}/images/{image_key(name)}/file")
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"].isascii()


def test_no_page_has_script_or_style_of_its_own(client: TestClient) -> None:
    for page in (client.get("/"), client.get("/browse"), client.get("/api"), client.get("/login")):
        assert "<style" not in page.text and " style=" not in page.text
        assert page.text.count("<script") == page.text.count('<script type="module" src="/static/')
        assert not re.search(r"<[^>]*\son[a-z]+\s*=", page.text)
        assert "http://" not in page.text and "https://" not in page.text


def test_the_cache_stays_within_its_bound_and_in_its_folder(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache", 10_000)
    for number in range(50):
        cache.write(f"{number}", bytes(1_000))
        os.utime(tmp_path / "cache" / f"{number}", (number, number))
    files = list((tmp_path / "cache").iterdir())
    assert sum(file.stat().st_size for file in files) <= 10_000
    assert cache.read("49") == bytes(1_000) and cache.read("0") is None
    (tmp_path / "secret").write_text("x")
    (tmp_path / "cache" / "link").symlink_to(tmp_path / "secret")
    for name in ("../secret", "link", "", "a/b", "A", "."):
        assert cache.read(name) is None, name
    assert len(FolderCache(tmp_path / "cache", 10_000)._files()) == len(files)
