"""The pages for people. `templates` and `static` have what they are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ..report.rendering import environment
from .hosted import hosted
from .security import COOKIE, cookie_of, is_token

__all__ = ["WAYS", "message_page", "page", "pager", "router", "url_of"]

router = APIRouter(include_in_schema=False)
TEMPLATES = Path(__file__).parent / "templates"


PLACES = (
    ("/", "Search"),
    ("/similar", "Similar"),
    ("/browse", "Browse"),
    ("/duplicates", "Duplicates"),
    ("/clusters", "Clusters"),
    ("/map", "Map"),
    ("/experiments", "Experiments"),
    ("/api", "API"),
)
# What is compared of whole pictures, in words.
WAYS = {
    "fused": "details, colours, edges (fused)",
    "vlad": "details (vlad)",
    "colour": "colours",
    "shape": "layout of edges (shape)",
    "hash": "hashes: copies",
}


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


def url_of(place: str, fields: Mapping[str, Any]) -> str:
    """A place with fields; those that say nothing are left out."""
    said = {name: value for name, value in fields.items() if value not in (None, "", False)}
    text = urlencode({name: 1 if value is True else value for name, value in said.items()})
    return f"{place}?{text}" if text else place


def pager(
    place: str, fields: Mapping[str, Any], number: int, total: int, size: int
) -> dict[str, Any]:
    """The page of a number, or the last one, of many things, for the template of that name.

    Args:
        fields: what the URLs of the pages have beside their number.
        total, size: how many things there are, and on a page.
    """
    pages = max(1, -(-total // size))
    number = min(number, pages)
    shown = {name: value for name, value in fields.items() if value not in (None, "", False)}
    return {
        "place": place,
        "fields": shown,
        "number": number,
        "pages": pages,
        "first": (number - 1) * size,
        "total": total,
        "previous": url_of(place, {**fields, "page": number - 1}) if number > 1 else None,
        "next": url_of(place, {**fields, "page": number + 1}) if number < pages else None,
    }


def message_page(request: Request, status: int, title: str, hint: str = "") -> Response:
    """A page that says one sentence."""
    return page(request, "message.html", status, title=title, hint=hint)


@router.get("/")
async def show_search(request: Request) -> Response:
    """Ask, and see the answer."""
    server = hosted(request)
    total = await server.total()
    return page(request, "search.html", indexes=server.names, total=total)


@router.get("/similar")
async def show_similar(request: Request) -> Response:
    """Ask what looks like a picture."""
    server = hosted(request)
    sources = {name: await server.current(name) for name in server.names}
    return page(
        request,
        "similar.html",
        indexes=server.names,
        ways={**WAYS, "words": "visual words"},
        embeddings={name: source.info().embeddings for name, source in sources.items()},
        total=await server.total(),
    )


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
