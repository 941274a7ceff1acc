"""The part of the API that asks: search, compare, and the pictures to ask with."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from ..errors import ParameterError, absolute_path
from ..pictures.fragments import split_fragment, with_fragment
from .bodies import CompareBody, Picture, SearchBody, body_schema, form_schema
from .hosted import SIDES, Hosted, hosted, jpeg
from .problems import JsonAnswer, ProblemError, sentence
from .settings import FORM_BYTES
from .tasks import CompareTask, PictureTask, SearchTask, SourceFile

__all__ = ["PROBLEMS", "picture_url", "pictured", "received", "router", "validated"]

router = APIRouter(prefix="/api/v1", tags=["ask"])
# Fields of a form at most, so that nobody sends thousands.
FIELDS = 30
Body = TypeVar("Body", bound=BaseModel)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (403, "from another site, or a path that is not allowed"),
        (404, "no such index, image or query"),
        (413, "more bytes than are allowed"),
        (422, "the picture cannot be used, or a parameter is out of range"),
        (503, "as many are waiting as may: ask again after Retry-After seconds"),
    )
}


@dataclass(frozen=True)
class Upload:
    """A file of a form: what it is called there, and its content."""

    name: str
    content: bytes


async def received(request: Request, *files: str) -> tuple[dict[str, Any], dict[str, Upload]]:
    """The fields and the files of a body that is JSON or a form. Raises ProblemError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        content = await request.body()
        if len(content) > FORM_BYTES:
            raise ProblemError(413, f"JSON of more than {FORM_BYTES:,} bytes")
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError):
            raise ProblemError(400, "the body is not JSON") from None
        if not isinstance(fields, dict):
            raise ProblemError(400, "the body is no JSON object")
        return fields, {}
    if kind != "multipart/form-data":
        raise ProblemError(415, "send JSON or multipart/form-data")
    fields, uploads = {}, {}
    try:
        async with request.form(
            max_files=len(files), max_fields=FIELDS, max_part_size=FORM_BYTES
        ) as form:
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    fields[name] = value
                elif name in files:
                    name_given = (value.filename or "picture")[:255]
                    uploads[name] = Upload(name_given, await value.read())
                else:
                    raise ProblemError(422, f"{name[:40]}: is no file of this request")
    except (HTTPException, MultiPartException, ValueError, KeyError) as error:
        detail = getattr(error, "detail", None) or getattr(error, "message", None) or error
        raise ProblemError(400, f"the form cannot be read: {detail}") from None
    return fields, uploads


def validated(model: type[Body], fields: Mapping[str, Any]) -> Body:
    """Fields as a body. Raises ProblemError."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        raise ProblemError(422, sentence(error.errors()), kind="ParameterError") from None


async def kept(server: Hosted, upload: Upload) -> tuple[str, SourceFile]:
    """An uploaded picture as a file, and its key. Raises OutputError."""

    def write() -> tuple[str, str]:
        key = hashlib.sha256(upload.content).hexdigest()[:32]
        return key, os.fspath(server.queries.write(key, upload.content))

    key, path = await asyncio.to_thread(write)
    return key, SourceFile(path, upload.name)


def named_by(picture: Picture) -> list[bool]:
    """Which ways of naming a picture are used."""
    return [value is not None for value in (picture.image, picture.query, picture.path)]


def chosen(server: Hosted, picture: Picture, what: str) -> SourceFile | str:
    """The file that a request names, or the key of an image. Raises ProblemError or
    ParameterError.
    """
    if sum(named_by(picture)) != 1:
        raise ParameterError(f"{what}: give a file or one of image, query and path")
    if picture.image is not None:
        return picture.image
    if picture.query is not None:
        path = server.queries.path(picture.query)
        if path is None:
            raise ProblemError(404, "this query is not kept any more: send the picture again")
        return SourceFile(os.fspath(path), picture.query)
    return allowed_file(server, picture.path or "")


async def pictured(
    server: Hosted, body: Picture, uploads: Mapping[str, Upload]
) -> tuple[SourceFile | str, str | None]:
    """The picture that is asked with, a file or the key of an image; and the key of an upload.
    Raises ProblemError, ParameterError or OutputError.
    """
    if "picture" not in uploads:
        return chosen(server, body, "picture"), body.query
    if any(named_by(body)):
        raise ParameterError("picture: give a file or one of image, query and path")
    key, file = await kept(server, uploads["picture"])
    return file, key


def allowed_file(server: Hosted, path: str) -> SourceFile:
    """A file on the server, which must lie below a folder that is allowed, whatever links say.
    Raises ProblemError.
    """
    problem = ProblemError(403, "path: does not lie below a folder that this server allows")
    if "\0" in path or not path:
        raise problem
    file, fragment = split_fragment(absolute_path(path))
    real = os.path.realpath(file)
    for folder in server.settings.allow_paths:
        if real.startswith(os.path.join(os.path.realpath(folder), "")):
            return SourceFile(with_fragment(real, fragment), path)
    raise problem


def picture_url(index: str, key: str) -> str:
    """Where an image is shown small."""
    return f"/api/v1/images/{key}/thumbnail?index={quote(index)}"


@router.post("/search", openapi_extra=body_schema(SearchBody, "picture"), responses=PROBLEMS)
async def search(request: Request) -> JsonAnswer:
    """Find the images that show what a picture shows or, with `crop`, that contain it.

    The picture is the file `picture` of a form, or one of `image`, `query` and `path`. The answer
    is that of `bovw search --json`; besides, each match has the key of its image, its `width` and
    `height`, and the URL of its `thumbnail`, and the answer has the `width` and `height` of the
    query, the key under which an upload can be asked with again (`picture`), and the `generation`
    of the index.
    """
    server = hosted(request)
    with server.searching.place() as place:
        fields, uploads = await received(request, "picture")
        body = validated(SearchBody, fields)
        index, options = server.index_name(body.index), body.options()
        query, key = await pictured(server, body, uploads)
        limits = server.settings.limits
        task = SearchTask(index, query, options, body.box, body.where, limits, body.correspondences)
        facts = await server.done(server.searching, task, place)
    server.metrics.count_search(facts["seconds"])
    for match in facts["matches"]:
        match["thumbnail"] = picture_url(index, match["key"])
    return JsonAnswer({**facts, "picture": key})


@router.post("/queries", openapi_extra=form_schema("picture"), responses=PROBLEMS)
async def keep_query(request: Request) -> JsonAnswer:
    """Send a picture to ask with, once or several times. The answer has its `key`, `name`, `width`
    and `height`. It is kept until there are too many.
    """
    server = hosted(request)
    with server.showing.place() as place:
        _, uploads = await received(request, "picture")
        if "picture" not in uploads:
            raise ParameterError("picture: is missing")
        key, file = await kept(server, uploads["picture"])
        task = PictureTask(file, SIDES[0], server.settings.limits)
        _, (width, height) = await server.done(server.showing, task, place)
    return JsonAnswer({"key": key, "name": file.name, "width": width, "height": height})


@router.get("/queries/{key}/thumbnail", response_class=Response, responses=PROBLEMS)
async def show_query(request: Request, key: str, side: int = SIDES[0]) -> Response:
    """An uploaded picture as a small JPEG file; `side` is 320 or 1600."""
    server = hosted(request)
    path = server.queries.path(key)
    if path is None:
        raise ProblemError(404, "this query is not kept any more: send the picture again")
    content = await server.shown_file(f"query {key}", SourceFile(os.fspath(path), "picture"), side)
    return jpeg(content)


@router.post(
    "/compare", openapi_extra=body_schema(CompareBody, "first", "second"), responses=PROBLEMS
)
async def compare(request: Request) -> Response:
    """Is the second picture in the first, where, and where do they differ?

    The answer is that of `bovw compare --json`, with the positions that agree, as (x, y in the
    second, x, y in the first), and the `width` and `height` of the first; with `draw`, a picture.
    """
    server = hosted(request)
    with server.searching.place() as place:
        fields, uploads = await received(request, "first", "second")
        body = validated(CompareBody, fields)
        task = await comparison(server, body, uploads)
        result = await server.done(server.searching, task, place)
    if isinstance(result, bytes):
        return Response(result, media_type="image/png")
    return JsonAnswer(result)


async def comparison(
    server: Hosted, body: CompareBody, uploads: Mapping[str, Upload]
) -> CompareTask:
    """What is to be compared, and how. Raises ProblemError, ParameterError or OutputError."""
    index = server.index_name(body.index)
    sources = list[SourceFile | tuple[str, str]]()
    for name, picture in (("first", body.first), ("second", body.second)):
        if name in uploads:
            sources.append((await kept(server, uploads[name]))[1])
        else:
            found = chosen(server, picture, name)
            sources.append((index, found) if isinstance(found, str) else found)
    return CompareTask(
        sources[0],
        sources[1],
        body.tolerance,
        body.sensitivity,
        body.box,
        body.mirror,
        body.false_alarms,
        server.settings.limits,
        body.draw,
    )
