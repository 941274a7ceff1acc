"""The part of the API about what is there: indexes, images and their files, health and figures."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..errors import ImageError, OutputError, ParameterError
from ..index.record import ImageRecord, image_key, record_facts, require_metadata
from ..pictures.files import opened_file
from ..pictures.fragments import file_of
from ..version import __version__
from .asking import PROBLEMS, picture_url, received
from .bodies import form_schema, object_of
from .hosted import SIDES, Hosted, hosted, jpeg
from .problems import JsonAnswer, ProblemError
from .tasks import AddTask, RemoveTask, SourceFile

__all__ = ["IndexQuery", "image_facts", "router"]

router = APIRouter(prefix="/api/v1", tags=["images"])
IndexQuery = Annotated[str | None, Query(description="Its name; the first by default.")]
# What files are, by how they begin: those that browsers show as pictures. All others are only
# downloaded, so that none is taken for a page.
KINDS = (
    (b"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (b"GIF8", "image/gif", ".gif"),
    (b"BM", "image/bmp", ".bmp"),
)
BRANDS = {b"WEBP": ("image/webp", ".webp"), b"avif": ("image/avif", ".avif")}
UNKNOWN = ("application/octet-stream", "")
# Endings that an upload keeps whose content does not say one.
OTHERS = (".tif", ".tiff", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".tga", ".heic")
ENDINGS = frozenset([*OTHERS, *(each[-1] for each in (*KINDS, *BRANDS.values()))])
BLOCK = 1 << 18


def image_facts(index: str, record: ImageRecord) -> dict[str, Any]:
    """An image as JSON: what `bovw list --json` prints, with its key and URLs."""
    key = image_key(record.id)
    place = f"/api/v1/images/{key}"
    return {
        **record_facts(record),
        "key": key,
        "thumbnail": picture_url(index, key),
        "file": f"{place}/file?index={quote(index)}" if record.file else None,
    }


@router.get("/indexes")
async def list_indexes(request: Request) -> JsonAnswer:
    """The indexes: name, images, features, generation, kind of features, vocabulary."""
    server = hosted(request)

    def facts(name: str) -> dict[str, Any]:
        index = server.index(name)
        info = index.info()
        return {
            "index": name,
            "images": info.image_count,
            "features": info.feature_count,
            "generation": info.generation,
            "kind": info.spec.kind,
            "vocabulary": info.vocabulary,
            "bytes": info.size_bytes,
            "writable": server.settings.writable and not server.is_cluster(name),
        }

    found = [await asyncio.to_thread(facts, name) for name in server.names]
    return JsonAnswer({"indexes": found})


@router.get("/images", responses=PROBLEMS)
async def list_images(
    request: Request,
    index: IndexQuery = None,
    first: Annotated[int, Query(ge=0, description="So many come before.")] = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JsonAnswer:
    """The images, in the order in which they were added; `total` says how many there are."""
    server = hosted(request)
    name = server.index_name(index)
    source = await server.current(name)
    records = await asyncio.to_thread(source.page, first, count)
    found = [image_facts(name, record) for record in records]
    facts = {"index": name, "generation": source.generation, "total": len(source), "first": first}
    return JsonAnswer({**facts, "images": found})


@router.get("/images/{key}", responses=PROBLEMS)
async def show_image(request: Request, key: str, index: IndexQuery = None) -> JsonAnswer:
    """What is known of an image."""
    server = hosted(request)
    return JsonAnswer(image_facts(server.index_name(index), await server.record(index, key)))


@router.get("/images/{key}/thumbnail", response_class=Response, responses=PROBLEMS)
async def show_thumbnail(
    request: Request, key: str, index: IndexQuery = None, side: int = SIDES[0]
) -> Response:
    """An image as a small JPEG file; `side` is 320 or 1600."""
    server = hosted(request)
    return jpeg(await server.shown(await server.record_with_file(index, key), side))


@router.get("/images/{key}/file", response_class=Response, responses=PROBLEMS)
async def send_file(request: Request, key: str, index: IndexQuery = None) -> Response:
    """The file of an image as it is, if it is what was indexed."""
    server = hosted(request)
    record = await server.record_with_file(index, key)
    assert record.file is not None
    most = server.settings.limits.file_bytes
    file = await asyncio.to_thread(
        opened_file, file_of(record.path), max(most, record.file.size_bytes)
    )
    try:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (record.file.size_bytes, record.file.mtime):
            digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
            if digest.hexdigest() != record.sha256:
                raise ImageError(
                    record.path, "has changed since it was indexed: run `bovw index` again"
                )
            file.seek(0)
        kind, _ = kind_of(file.read(16))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    manner = "attachment" if kind == UNKNOWN[0] else "inline"
    name = quote(os.path.basename(file_of(record.path)), errors="replace")
    headers = {
        "Content-Disposition": f"{manner}; filename*=UTF-8''{name}",
        "Content-Length": str(status.st_size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingResponse(blocks_of(file), media_type=kind, headers=headers)


def kind_of(beginning: bytes) -> tuple[str, str]:
    """The media type and the ending of a file that begins so."""
    for mark, kind, ending in KINDS:
        if beginning.startswith(mark):
            return kind, ending
    return BRANDS.get(beginning[8:12], UNKNOWN)


async def blocks_of(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file, part by part; it is closed in the end."""
    with file:
        while block := await asyncio.to_thread(file.read, BLOCK):
            yield block


def require_writable(server: Hosted, index: str) -> None:
    """Raise ProblemError unless images may be added to an index and removed."""
    if not server.settings.writable:
        raise ProblemError(403, "this server changes nothing (start it with --writable)")
    if server.is_cluster(index):
        raise ProblemError(403, f"{index} is a cluster, which `bovw cluster` alone changes")


@router.post("/images", openapi_extra=form_schema("picture"), responses=PROBLEMS, status_code=201)
async def add_image(request: Request, index: IndexQuery = None) -> JsonAnswer:
    """Add a picture to an index: the file `picture` of a form, with `metadata` as JSON if wanted.
    The file is kept in the folder of `--upload-to`.
    """
    server = hosted(request)
    name = server.index_name(index)
    require_writable(server, name)
    folder = server.settings.upload_to
    if folder is None:
        raise ProblemError(403, "there is no folder for pictures (start it with --upload-to)")
    server.searching.require_room()
    fields, uploads = await received(request, "picture")
    if set(fields) - {"metadata"} or "picture" not in uploads:
        raise ParameterError("send a file, picture, and metadata if wanted")
    metadata = require_metadata(object_of(fields.get("metadata")))
    upload = uploads["picture"]
    _, ending = kind_of(upload.content[:16])
    ending = ending or os.path.splitext(upload.name)[1].lower()
    if ending not in ENDINGS:
        raise ImageError(upload.name, "is not an image of a known format")
    path, fresh = await asyncio.to_thread(written, folder, upload.content, ending)
    task = AddTask(name, SourceFile(path, upload.name), metadata, server.settings.limits)
    try:
        async with server.writing:
            record = await server.done(server.searching, task)
    except BaseException:
        if fresh:
            os.unlink(path)
        raise
    return JsonAnswer(image_facts(name, record), 201)


def written(folder: os.PathLike[str], content: bytes, ending: str) -> tuple[str, bool]:
    """Write an upload, named by its content. Returns its path, and whether it was not there yet.
    Raises OutputError.
    """
    path = os.path.join(folder, hashlib.sha256(content).hexdigest()[:32] + ending)
    try:
        with open(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        return path, False
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror}") from error
    return path, True


@router.delete("/images/{key}", status_code=204, responses=PROBLEMS)
async def remove_image(request: Request, key: str, index: IndexQuery = None) -> Response:
    """Remove an image from an index. No picture file is touched."""
    server = hosted(request)
    name = server.index_name(index)
    require_writable(server, name)
    task = RemoveTask(name, key)
    async with server.writing:
        if not await server.done(server.searching, task):
            raise ProblemError(404, f"the index has no image {key!r}")
    return Response(status_code=204)


@router.get("/healthz", tags=["server"])
async def tell_health() -> JsonAnswer:
    """Whether the server is there."""
    return JsonAnswer({"status": "ok", "bovw": __version__})


@router.get("/metrics", tags=["server"], response_class=Response)
async def tell_metrics(request: Request) -> Response:
    """Figures in the text format of Prometheus."""
    server = hosted(request)
    for name in server.names:
        await server.current(name)
    return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)
