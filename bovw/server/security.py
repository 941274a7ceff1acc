"""What stands before every request: is it meant for this server, does it come from our own page or
from a program, may it ask, and how much may it send?
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import time
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import ProblemError, wants_page
from .settings import ServerSettings, is_loopback

__all__ = ["COOKIE", "Guard", "cookie_of", "is_token"]

COOKIE = "bovw-token"
HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
SAFE = ("GET", "HEAD", "OPTIONS")
# What may be asked for without a token: whether the server is there, and the page that asks for it.
OPEN = ("/api/v1/healthz", "/login", "/static/style.css")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# So much of a body is waited for when the answer has been sent already.
DRAIN_BYTES, DRAIN_SECONDS = 1 << 20, 1.0
# Of every answer. A picture is never taken for a page, nor a page of ours shown inside another.
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """The outermost part of the application. Refuses what should not be answered, bounds what is
    sent, and answers what went wrong inside in one sentence.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        body = Body(
            receive, has_body(scope), self._settings.body_bytes, self._settings.body_seconds
        )
        answer = Answer(send, body)
        try:
            self._require_allowed(scope)
            await self._app(scope, body.receive, answer.send)
        except ProblemError as error:
            if not answer.started:
                await self._refusal(scope, error)(scope, receive, answer.send)
        except Exception as error:  # the one net: what it is, in one line
            if answer.started:
                raise
            title = f"{type(error).__name__}: a fault of bovw, please report it"
            await ProblemError(500, title).response()(scope, receive, answer.send)

    def _refusal(self, scope: Scope, error: ProblemError) -> Response:
        """How a request is refused: a person without the token is asked for it."""
        if error.status == 401 and scope["method"] == "GET" and wants_page(Headers(scope=scope)):
            return RedirectResponse("/login", 303)
        return error.response()

    def _require_allowed(self, scope: Scope) -> None:
        """Raise ProblemError for a request that should not be answered."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._is_ours(host):
            raise ProblemError(
                421, f"this server does not answer for {host[:100]!r} (see --allow-host)"
            )
        if comes_from_elsewhere(scope["method"], host, headers):
            raise ProblemError(403, "another site may not ask this server")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise ProblemError(400, "the length of the body is no number")
        if int(length) > self._settings.body_bytes:
            raise too_large(self._settings.body_bytes)
        if not self._settings.token or scope["path"] in OPEN:
            return
        if not is_known(headers, self._settings.token):
            raise ProblemError(401, "give the token of this server", {"WWW-Authenticate": "Bearer"})

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server. An address cannot be rebound, as a name can."""
        found = HOST.fullmatch(host)
        if not found:
            return False
        name = (found["address"] or found["name"]).lower()
        if name in self._settings.host_names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not is_loopback(self._settings.host)


def comes_from_elsewhere(method: str, host: str, headers: Headers) -> bool:
    """Whether a page of another site sends a request. Whoever follows a link to us may read."""
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    if site not in ("same-origin", "none"):
        follows = headers.get("sec-fetch-mode") == "navigate" and method in SAFE
        return not follows or headers.get("sec-fetch-dest") not in ("document", None)
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def is_known(headers: Headers, token: str) -> bool:
    """Whether a request knows the token, by its header or by the cookie of our page."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and is_token(given.strip(), token):
        return True
    try:
        cookie: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return False
    return COOKIE in cookie and same(cookie[COOKIE].value, cookie_of(token))


def is_token(given: str, token: str) -> bool:
    """Whether what was given is the token; takes as long whatever it is."""
    return same(given, token)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same; takes as long whatever they are."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


def cookie_of(token: str) -> str:
    """What a browser keeps instead of the token."""
    return hashlib.sha256(f"bovw cookie {token}".encode()).hexdigest()


def too_large(most: int) -> ProblemError:
    """A body beyond the limit."""
    return ProblemError(
        413,
        f"the request has more than {most:,} bytes (limit: file_bytes)",
        {"Connection": "close"},
    )


def has_body(scope: Scope) -> bool:
    """Whether a request has a body."""
    headers = Headers(scope=scope)
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class Body:
    """What arrives of a request's body, within a number of bytes and of seconds."""

    def __init__(self, receive: Receive, expected: bool, most: int, seconds: float) -> None:
        """Args: whether there is a body at all."""
        self._receive, self._most, self._seconds = receive, most, seconds
        self._bytes, self._end = 0, time.monotonic() + seconds
        self._expected, self._refused = expected, False

    async def receive(self) -> Message:
        """The next part. Raises ProblemError."""
        if not self._expected:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
                message: dict[str, Any] = dict(await self._receive())
        except TimeoutError:
            self._refused = True
            raise ProblemError(
                408,
                f"the request took longer than {self._seconds:g} seconds to arrive",
                {"Connection": "close"},
            ) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            self._refused = True
            raise too_large(self._most)
        self._expected = message.get("more_body", False)
        return message

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to come."""
        return self._expected and not self._refused

    async def drain(self) -> None:
        """Let the rest of a body arrive, unless it is long."""
        self._end = min(self._end, time.monotonic() + DRAIN_SECONDS)
        self._most = min(self._most, self._bytes + DRAIN_BYTES)
        with suppress(ProblemError):
            while self.is_under_way:
                await self.receive()


class Answer:
    """What is sent to whoever asked.

    Attributes:
        started: whether some of it is.
    """

    def __init__(self, send: Send, body: Body) -> None:
        """Args: what arrives of the request's body."""
        self._send, self._body, self.started = send, body, False

    async def send(self, message: Message) -> None:
        """Send the next part."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "private, no-cache")
        elif self._body.is_under_way and not message.get("more_body"):
            # all is said; but who still sends would not see it if the connection ended now
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {**message, "body": b""}
        await self._send(message)
