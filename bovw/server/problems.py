"""Answers as JSON, and errors as answers: problem details (RFC 9457) whose title is the message of
the error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..errors import (
    BovwError,
    BusyError,
    ImageError,
    ImageIndexError,
    IndexLockedError,
    ParameterError,
    printable,
)

__all__ = ["JsonAnswer", "ProblemError", "add_handlers", "problem_response", "sentence"]

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
    return 503 if isinstance(error, ImageIndexError) else 500


def add_handlers(app: FastAPI) -> None:
    """Have an application answer every error with problem details."""

    @app.exception_handler(BovwError)
    async def answer_error(_request: Request, error: BovwError) -> JSONResponse:
        status = status_of(error)
        headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
        return problem_response(status, str(error), headers, type(error).__name__)

    @app.exception_handler(ProblemError)
    async def answer_problem(_request: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def answer_http(_request: Request, error: HTTPException) -> JSONResponse:
        return problem_response(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(422, sentence(error.errors()), kind="ParameterError")

    @app.exception_handler(ClientDisconnect)
    async def answer_nobody(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return problem_response(400, "the request ended before its body was complete")


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
