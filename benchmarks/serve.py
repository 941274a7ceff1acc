"""How `bovw serve` holds out: requests a second at 1, 4 and 16 clients against the bare library in
as many processes, latencies, memory, overload, hostile clients.

The clients share the machine with the server: httpx in one process; for overload plain connections,
as 64 clients of httpx at once take longer to ask than a refusal may. Needs bovw[serve], httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from collection import Collection

from bovw import ImageIndex, SearchOptions

CLIENTS = (1, 4, 16)
CORES = os.cpu_count() or 1
# Requests that are made before the clock starts.
WARM = 10
FORM = {"crop": "true"}
OPTIONS = SearchOptions(crop=True)
OVERLOAD = 64
WAITING = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--requests", type=int, default=400, help="at each number of clients")
    parser.add_argument("--long", type=int, default=2000, help="requests over which memory is told")


@contextmanager
def served(index: Path, work: Path, *options: str) -> Iterator[tuple[int, str, float]]:
    """A server of an index: its process, its URL, and the seconds until its first answer."""
    clock = time.perf_counter()
    command = [sys.executable, "-m", "bovw", "serve", "--index", str(index), "--port", "0"]
    command += ["--cache", str(work / "serve-cache"), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url = process.stdout.readline().strip()
    httpx.get(url).raise_for_status()
    seconds = time.perf_counter() - clock
    try:
        yield process.pid, url, seconds
    finally:
        process.terminate()
        process.wait()


async def load(
    url: str, contents: list[bytes], clients: int, count: int
) -> tuple[float, list[tuple[int, float]]]:
    """Ask `count` times with so many clients, who come back when they are told to. Returns the
    seconds of all, and status and seconds of each.
    """
    numbers = iter(range(count))
    answers: list[tuple[int, float]] = []

    async def client(session: httpx.AsyncClient) -> None:
        for number in numbers:
            files = {"picture": ("query.jpg", contents[number % len(contents)])}
            before = time.perf_counter()
            answer = await session.post(f"{url}api/v1/search", files=files, data=FORM)
            answers.append((answer.status_code, time.perf_counter() - before))
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None)) as session:
        before = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        return time.perf_counter() - before, answers


def bare_rate(index: ImageIndex, paths: list[str], count: int, jobs: int, warm: int) -> float:
    """Queries a second of the library in so many processes, once these are warm."""
    queries = [paths[number % len(paths)] for number in range(count + warm)]
    answers = index.search_many(queries, OPTIONS, jobs=jobs)
    for _ in range(warm):
        next(answers)
    before = time.perf_counter()
    return sum(1 for _ in answers) / (time.perf_counter() - before)


def memory_of(parent: int) -> float:
    """Megabytes that a process and its children have for themselves."""
    total = 0
    children = [
        int(child)
        for task in Path(f"/proc/{parent}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    for process in (parent, *children):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return total / 1024


def quantile(values: list[float], share: float) -> float:
    """The value that a share of all lies below, in milliseconds."""
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1e3, 1)


def measure_load(
    collection: Collection, paths: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Requests a second against the library, and memory."""
    contents = [Path(path).read_bytes() for path in paths]
    index = collection.index()
    requests = 4 if arguments.small else arguments.requests
    warm = 1 if arguments.small else WARM * 2 * CORES
    figures: dict[str, Any] = {"clients": {}}
    with ImageIndex.open(index) as source, served(index, collection.work) as (pid, url, first):
        figures["first_answer_s"] = round(first, 2)
        print(f"first answer {first:.2f} s after the start")
        asyncio.run(load(url, contents, CORES, WARM))
        for clients in CLIENTS:
            seconds, answers = asyncio.run(load(url, contents, clients, requests))
            bare = bare_rate(source, paths, requests, min(clients, CORES), warm)
            failed = sum(status != 200 for status, _ in answers)
            times = [taken for _, taken in answers]
            line = {
                "requests_s": round(len(answers) / seconds, 2),
                "library_s": round(bare, 2),
                "ratio": round(len(answers) / seconds / bare, 3),
                "p50_ms": quantile(times, 0.5),
                "p99_ms": quantile(times, 0.99),
                "failed": failed,
            }
            figures["clients"][clients] = line
            print(f"{clients:3d} clients: " + ", ".join(f"{k} {v}" for k, v in line.items()))
        before = memory_of(pid)
        asyncio.run(load(url, contents, CORES, 4 if arguments.small else arguments.long))
        after = memory_of(pid)
        figures["memory_mb"] = [round(before), round(after)]
        print(f"memory: {before:.0f} MB before, {after:.0f} MB after the long run")
    return figures


def request_of(content: bytes) -> bytes:
    """A search as it is sent."""
    part = b'Content-Disposition: form-data; name="%s"'
    body = b"--x\r\n" + part % b"crop" + b"\r\n\r\ntrue\r\n--x\r\n" + part % b"picture"
    body += b'; filename="query.jpg"\r\n\r\n' + content + b"\r\n--x--\r\n"
    head = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def crowd(
    address: tuple[str, int], contents: list[bytes], clients: int, count: int
) -> list[tuple[int, float]]:
    """As `load`, with a connection for each request; the seconds are those until the status."""
    requests, numbers = [request_of(content) for content in contents], iter(range(count))
    answers: list[tuple[int, float]] = []

    async def client() -> None:
        for number in numbers:
            before = time.perf_counter()
            reader, writer = await asyncio.open_connection(*address)
            writer.write(requests[number % len(requests)])
            status = int((await reader.readline()).split()[1])
            answers.append((status, time.perf_counter() - before))
            await reader.read()
            writer.close()
            await asyncio.sleep(status == 503)

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def processor_seconds(pid: int) -> float:
    """Processor time of a process, without that of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_overload(collection: Collection, contents: list[bytes], clients: int) -> dict[str, Any]:
    """How soon those are told to come back that find no room."""
    options = ("--waiting", str(WAITING))
    with served(collection.index(), collection.work, *options) as (pid, url, _):
        asyncio.run(load(url, contents, CORES, CORES))
        place, before = urlsplit(url), processor_seconds(pid)
        address = (place.hostname or "", place.port or 0)
        answers = asyncio.run(crowd(address, contents, clients, 4 * clients))
        taken_by_server = processor_seconds(pid) - before
    refused = [taken for status, taken in answers if status == 503]
    figures = {
        "answered": sum(status == 200 for status, _ in answers),
        "refused": len(refused),
        "refused_p50_ms": quantile(refused, 0.5) if refused else None,
        "refused_p99_ms": quantile(refused, 0.99) if refused else None,
        "server_cpu_ms_a_request": round(taken_by_server / len(answers) * 1e3, 2),
    }
    print(f"{clients} clients, {WAITING} may wait: {figures}")
    return figures


def hostile_requests() -> list[bytes]:
    """What ten hostile clients send: slow uploads, wrong lengths, too much of all."""
    post = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\n"
    form = b"Content-Type: multipart/form-data; boundary=x\r\n"
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(10_000))
    return [
        post + form + b"Content-Length: 1000\r\n\r\n-",
        post + form + b"Content-Length: 1000\r\n\r\n--x\r\n",
        post + form + b"Transfer-Encoding: chunked\r\n\r\n5\r\n--x",
        post + form + b"Content-Length: -1\r\n\r\n",
        post + form + b"Content-Length: 99999999999\r\n\r\n",
        post + headers + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers,
        b"GET " + b"/" * 100_000,
        b"\x16\x03\x01" + bytes(1000),
        post,
    ]


def measure_hostile(collection: Collection, contents: list[bytes], count: int) -> dict[str, Any]:
    """How long one client waits, alone and beside ten hostile ones."""
    with served(collection.index(), collection.work) as (_, url, _):
        asyncio.run(load(url, contents, CORES, CORES))
        place = urlsplit(url)
        address = (place.hostname or "", place.port or 0)
        _, alone = asyncio.run(load(url, contents, 1, count))
        connections = [socket.create_connection(address) for _ in hostile_requests()]
        for connection, content in zip(connections, hostile_requests(), strict=True):
            with suppress(OSError):  # it has hung up
                connection.sendall(content)
        _, beside = asyncio.run(load(url, contents, 1, count))
        for connection in connections:
            connection.close()
    figures = {
        "alone_ms": round(statistics.median(taken for _, taken in alone) * 1e3, 1),
        "beside_ms": round(statistics.median(taken for _, taken in beside) * 1e3, 1),
        "failed": sum(status != 200 for status, _ in beside),
    }
    print(f"one client beside ten hostile ones: {figures}")
    return figures


def run(collection: Collection, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark, print its figures and return them."""
    paths = [query.path for query in collection.crops]
    paths = paths[:: max(1, len(paths) // (8 if arguments.small else 200))]
    figures = measure_load(collection, paths, arguments)
    contents = [Path(path).read_bytes() for path in paths]
    figures["overload"] = measure_overload(
        collection, contents, 12 if arguments.small else OVERLOAD
    )
    figures["hostile"] = measure_hostile(collection, contents, 2 if arguments.small else WARM)
    return figures
