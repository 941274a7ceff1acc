"""Answers as JSON, and errors as answers: problem details (RFC 9457) whose title is the message of
the error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..errors import (
    BovwError,
    BusyError,
    ClusterError,
    ImageError,
    ImageIndexError,
    IndexLockedError,
    ParameterError,
    printable,
)

__all__ = [
    "JsonAnswer",
    "ProblemError",
    "add_handlers",
    "problem_response",
    "sentence",
    "wants_page",
]

RETRY_AFTER = "1"
PROBLEM = "application/problem+json"


class JsonAnswer(JSONResponse):
    """JSON in ASCII, as the command prints it: a name that is no Unicode survives."""

    def render(self, content: Any) -> bytes:
        """The bytes of the answer."""
        return json.dumps(content, allow_nan=False).encode("ascii")


class ProblemError(Exception):
    """A request that is not answered: the status and one sentence."""

    def __init__(
        self, status: int, title: str, headers: Mapping[str, str] | None = None, kind: str = ""
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.headers, self.kind = status, title, dict(headers or {}), kind

    def response(self) -> JSONResponse:
        """It as an answer."""
        return problem_response(self.status, self.title, self.headers, self.kind)


def problem_response(
    status: int, title: str, headers: Mapping[str, str] | None = None, kind: str = ""
) -> JsonAnswer:
    """Problem details as an answer.

    Args:
        kind: the name of the typed error, if it is one.
    """
    body = {
        "type": f"urn:bovw:{kind}" if kind else "about:blank",
        "title": printable(title),
        "status": status,
    }
    return JsonAnswer(body, status, dict(headers or {}), media_type=PROBLEM)


def status_of(error: BovwError) -> int:
    """The status of an answer that says an error."""
    if isinstance(error, BusyError):
        return 503
    if isinstance(error, (ImageError, ParameterError)):
        return 422
    if isinstance(error, IndexLockedError):
        return 409
    return 503 if isinstance(error, (ImageIndexError, ClusterError)) else 500


def add_handlers(app: FastAPI, message_page: Callable[[Request, int, str], Response]) -> None:
    """Have an application answer every error with problem details, or with a page if a person asked
    for one.
    """

    def answer(
        request: Request, status: int, title: str, headers: Mapping[str, str], kind: str = ""
    ) -> Response:
        if request.url.path.startswith("/api/") or not wants_page(request.headers):
            return problem_response(status, title, headers, kind)
        found = message_page(request, status, title)
        found.headers.update(headers)
        return found

    @app.exception_handler(BovwError)
    async def answer_error(request: Request, error: BovwError) -> Response:
        status = status_of(error)
        headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
        return answer(request, status, str(error), headers, type(error).__name__)

    @app.exception_handler(ProblemError)
    async def answer_problem(request: Request, error: ProblemError) -> Response:
        return answer(request, error.status, error.title, error.headers, error.kind)

    @app.exception_handler(HTTPException)
    async def answer_http(request: Request, error: HTTPException) -> Response:
        return answer(request, error.status_code, str(error.detail), error.headers or {})

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, 422, sentence(error.errors()), {}, "ParameterError")

    @app.exception_handler(ClientDisconnect)
    async def answer_nobody(request: Request, _error: ClientDisconnect) -> Response:
        return answer(request, 400, "the request ended before its body was complete", {})


def wants_page(headers: Mapping[str, str]) -> bool:
    """Whether a request is that of a person's browser for a page."""
    return "text/html" in headers.get("accept", "")


def sentence(errors: Any) -> str:
    """What is wrong with the parameters of a request, in one line."""
    parts = []
    for error in errors:
        places = [str(part) for part in error["loc"] if part not in ("body", "query", "path")]
        message = error["msg"].removeprefix("Value error, ")
        value = error.get("input")
        told = f", not {value!r:.60}" if isinstance(value, (str, int, float, bool)) else ""
        if isinstance(value, float) and not math.isfinite(value):
            told = ""
        parts.append(f"{'.'.join(places) or 'request'}: {message}{told}")
    return "; ".join(parts)
