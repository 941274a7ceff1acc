"""The command as a process, asked over real connections."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bovw.index.record import image_key
from tests.fuzz.pictures import png
from tests.helpers.command import run

from .test_api import API

PROGRAM = """
import sys
from pathlib import Path
from bovw.server.app import serve
from bovw.server.settings import ServerSettings
cache = Path(sys.argv[1])
serve(
    ServerSettings([Path("photos.bovw")], port=0, jobs=1, body_seconds=1.5, cache=cache),
    lambda host, port: print(f"http://{host}:{port}/", flush=True),
)
"""


@contextmanager
def running(arguments: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process of its own, and its URL."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"},
    )
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_it_finishes_what_it_was_asked_when_it_is_told_to_end(
    collection: Path, tmp_path: Path
) -> None:
    command = ["-m", "bovw", "serve", "--index", "photos.bovw", "--port", "0", "--jobs", "1"]
    with running([*command, "--cache", os.fspath(tmp_path)], collection) as (process, url):
        content = (collection / "crop.png").read_bytes()
        head = (
            f"POST {API}/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {{}}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        form = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
        body = form + content + b"\r\n--x--\r\n"
        host, port = url.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port))) as asking:
            asking.sendall(head.format(len(body)).encode() + body[:-10])
            assert httpx.get(f"{url}api/v1/healthz").json()["status"] == "ok"
            workers = [
                child for task in Path(f"/proc/{process.pid}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]  # fmt: skip
            assert len(workers) == 2
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{url}api/v1/healthz")
            asking.sendall(body[-10:])
            answer = b""
            while part := asking.recv(1 << 16):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200") and b'"id": "photos/large.png"' in answer
        assert process.wait(10) == 0
        assert process.stderr and process.stderr.read() == ""
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.slow
def test_the_container_says_whether_it_is_well(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables, the command and the health check of the Dockerfile, without Docker."""
    text = (Path(__file__).parents[2] / "Dockerfile").read_text()
    check = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    host = re.search(r"BOVW_HOST=(\S+)", text)
    assert check and host and text.endswith('ENTRYPOINT ["bovw"]\nCMD ["serve"]\n')
    settings = {"HOST": host[1], "PORT": "0", "TOKEN": "secret-token", "CACHE": tmp_path}
    for name, value in {**settings, "INDEX": "photos.bovw"}.items():
        monkeypatch.setenv(f"BOVW_{name}", str(value))
    healthy = [sys.executable, *json.loads(check[1])[1:]]
    with running(["-m", "bovw", "serve", "--jobs", "1"], collection) as (_, url):
        assert host[1] in url
        monkeypatch.setenv("BOVW_PORT", url.strip("/").rpartition(":")[2])
        assert subprocess.run(healthy).returncode == 0
    assert subprocess.run(healthy, capture_output=True).returncode != 0


@pytest.mark.slow
def test_ten_hostile_clients_do_not_stop_the_eleventh(collection: Path, tmp_path: Path) -> None:
    with running(["-c", PROGRAM, os.fspath(tmp_path)], collection) as (_, url):
        host, port = url.removeprefix("http://").strip("/").split(":")
        post = f"POST {API}/search HTTP/1.1\r\nHost: localhost\r\n".encode()
        form = b"Content-Type: multipart/form-data; boundary=x\r\n"
        many = b"".join(b"X-%d: y\r\n" % number for number in range(10_000))
        bomb = png(30_000, 30_000, 8, 0, 0, b"")
        part = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
        whole = part + bomb + b"\r\n--x--\r\n"
        sent = [
            post + form + b"Content-Length: 1000\r\n\r\n" + b"-",  # slow
            post + form + b"Content-Length: 1000\r\n\r\n" + part,  # shorter than it says
            post + form + b"Content-Length: -1\r\n\r\n",
            post + form + b"Content-Length: 99999999999999\r\n\r\n",
            post + form + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            post + many + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many,
            b"\x16\x03\x01" + bytes(1000),
            b"GET " + b"/" * 100_000,
            post + form + b"Content-Length: %d\r\n\r\n" % len(whole) + whole,
        ]
        statuses = {0: b"408", 1: b"408", 2: b"400", 3: b"413", 5: b"4", 7: b"400", 9: b"422"}
        hostile = [socket.create_connection((host, int(port)), 20) for _ in sent]
        for connection, content in zip(hostile, sent, strict=True):
            try:
                connection.sendall(content)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it has hung up already
        files = {"picture": (collection / "crop.png").read_bytes()}
        answer = httpx.post(f"{url}api/v1/search", files=files, timeout=30)
        assert answer.json()["matches"]
        for number, connection in enumerate(hostile):
            with connection:
                if number in statuses:
                    line = connection.recv(1 << 16).split(b"\r\n")[0]
                    assert line.split(b" ")[1].startswith(statuses[number]), (number, line)
        key = image_key("photos/0.png")
        assert httpx.get(f"{url}api/v1/images/{key}/thumbnail").status_code == 200


@pytest.mark.slow
def test_who_finds_no_room_is_told_before_the_body_is_sent(
    collection: Path, tmp_path: Path
) -> None:
    held = PROGRAM.replace("body_seconds=1.5", "body_seconds=60, waiting=0").replace(
        "cache =", "from bovw.workers import service; service.HELD_SECONDS = 60; cache ="
    )
    with running(["-c", held, os.fspath(tmp_path)], collection) as (_, url):
        host, port = url.removeprefix("http://").strip("/").split(":")
        head = f"POST {API}/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        with socket.create_connection((host, int(port)), 60) as slow:
            slow.sendall(head.encode())
            httpx.get(f"{url}api/v1/healthz")  # it has come to be asked, after that request
            with socket.create_connection((host, int(port)), 60) as refused:
                refused.sendall(head.encode())
                lines = refused.recv(1 << 16).lower().split(b"\r\n")
                assert lines[0].startswith(b"http/1.1 503") and b"retry-after: 1" in lines


@pytest.mark.slow
def test_what_keeps_it_from_starting_is_said_in_one_line(collection: Path, tmp_path: Path) -> None:
    command = ["serve", "--index", "photos.bovw"]
    done = run(*command, "--host", "0.0.0.0", cwd=collection)
    assert done.returncode == 2 and "give a token as well" in done.stderr
    done = run("serve", "--index", "absent.bovw", cwd=collection)
    assert done.returncode == 1 and "absent.bovw" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(*command, "--port", port, "--cache", tmp_path / "cache", cwd=collection)
    assert done.returncode == 1 and "try another --port" in done.stderr
    (tmp_path / "fastapi.py").write_text("raise ImportError('none here', name='fastapi')")
    path = os.pathsep.join([os.fspath(tmp_path), *sys.path])
    code = "import sys; sys.argv[0] = 'bovw'; from bovw.cli.app import main; main()"
    without = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=collection,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert without.returncode == 1
    assert without.stderr == (
        "bovw: error: `bovw serve` needs fastapi: pip install 'bovw[serve]'\n"
    )
