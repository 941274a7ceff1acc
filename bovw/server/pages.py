"""The pages for people. `templates` and `static` have what they are made of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ..cluster.cluster_index import ClusterIndex
from ..report.rendering import environment
from ..search.result import is_gone_file
from .hosted import hosted
from .images import image_facts
from .security import COOKIE, cookie_of, is_token
from .shelf import Served

__all__ = ["message_page", "page", "router"]

router = APIRouter(include_in_schema=False)
TEMPLATES = Path(__file__).parent / "templates"
# Images of a page of a collection.
PAGE = 96
# Duplicates, similar images, clusters and the map of a collection get their places here.
PLACES = (("/", "Search"), ("/browse", "Browse"), ("/experiments", "Experiments"), ("/api", "API"))


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. `here` of the values is its place in the navigation."""
    server = hosted(request)
    places = [
        place for place in PLACES if place[0] != "/experiments" or server.settings.experiments
    ]
    here = values.pop("here", request.url.path)
    content = (
        environment(TEMPLATES).get_template(template).render(places=places, here=here, **values)
    )
    return HTMLResponse(content, status)


def message_page(request: Request, status: int, title: str, hint: str = "") -> Response:
    """A page that says one sentence."""
    return page(request, "message.html", status, title=title, hint=hint)


@router.get("/")
async def show_search(request: Request) -> Response:
    """Ask, and see the answer."""
    server = hosted(request)
    total = sum([len(await server.current(name)) for name in server.names])
    return page(request, "search.html", indexes=server.names, total=total)


@router.get("/browse")
async def show_collection(
    request: Request,
    index: str | None = None,
    number: Annotated[int, Query(alias="page", ge=1, le=10**9)] = 1,
) -> Response:
    """A collection, page by page."""
    server = hosted(request)
    name = server.index_name(index)
    source = await server.current(name)
    pages = max(1, -(-len(source) // PAGE))
    number = min(number, pages)
    first = (number - 1) * PAGE
    images = await asyncio.to_thread(images_of, name, source, first)
    return page(
        request,
        "browse.html",
        index=name,
        names=server.names,
        images=images,
        page=number,
        pages=pages,
        first=first,
        total=len(source),
    )


def images_of(name: str, source: Served, first: int) -> list[dict[str, Any]]:
    """The images of a page of a collection, those of a cluster with whether this machine lacks
    their files.
    """
    is_cluster = isinstance(source, ClusterIndex)
    return [
        {
            **image_facts(name, record),
            "unreachable": is_cluster and is_gone_file(record.path),
        }
        for record in source.page(first, PAGE)
    ]


@router.get("/api")
async def show_api(request: Request) -> Response:
    """What programs can ask."""
    described = request.app.openapi()
    paths = {
        place: {
            method: {"fields": fields_of(way), "paragraphs": paragraphs_of(way)}
            for method, way in ways.items()
        }
        for place, ways in described["paths"].items()
    }
    return page(request, "api.html", paths=paths)


def paragraphs_of(way: dict[str, Any]) -> list[list[str]]:
    """The description of a way to ask, as paragraphs of which every second part is code."""
    text = way.get("description") or way.get("summary", "")
    return [" ".join(paragraph.split()).split("`") for paragraph in text.split("\n\n")]


def fields_of(way: dict[str, Any]) -> list[dict[str, str]]:
    """The parameters of a way to ask, and the fields of its body."""
    found = [
        field_of(each["name"], each["in"], each["schema"], each.get("description", ""))
        for each in way.get("parameters", [])
    ]
    content = way.get("requestBody", {}).get("content", {})
    properties = content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
    return found + [field_of(name, "body", schema) for name, schema in properties.items()]


def field_of(name: str, place: str, schema: dict[str, Any], meaning: str = "") -> dict[str, str]:
    """A parameter in words."""
    options = schema.get("anyOf", [schema])
    kinds = [str(each.get("format") or each.get("type", "object")) for each in options]
    kinds = ["file" if kind == "binary" else kind for kind in kinds if kind != "null"]
    if "enum" in schema:
        kinds = [repr(value) for value in schema["enum"]]
    default = schema.get("default")
    return {
        "name": name,
        "place": place,
        "kind": " or ".join(kinds),
        "default": "" if default is None else str(default),
        "meaning": meaning or schema.get("description", ""),
    }


@router.get("/login")
async def ask_token(request: Request) -> Response:
    """Ask for the token."""
    return page(request, "login.html", wrong=False)


@router.post("/login")
async def take_token(request: Request, token: Annotated[str, Form()] = "") -> Response:
    """Take the token: the browser keeps what is made from it."""
    expected = hosted(request).settings.token
    if expected is None or not is_token(token, expected):
        await asyncio.sleep(0.5)  # whoever guesses
        return page(request, "login.html", 401, wrong=True)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, cookie_of(expected), httponly=True, samesite="strict")
    return answer
