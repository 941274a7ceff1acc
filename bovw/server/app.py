"""The application, and how it is run."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from ..errors import BovwError
from ..report.rendering import FOLDER
from ..version import __version__
from . import asking, experiments, images, overview_pages, overviews, pages, similar
from .hosted import Hosted
from .metrics import Meter
from .problems import add_handlers
from .security import Guard
from .settings import ServerSettings

__all__ = ["create_app", "serve"]

STATIC = Path(__file__).parent / "static"
# Connections at a time; more are told to come back.
CONNECTIONS = 512
BACKLOG = 256
# Bytes of the headers of a request.
HEADER_BYTES = 32_768


def create_app(settings: ServerSettings) -> FastAPI:
    """The application. Its processes start with it (its lifespan), and end with it.

    Raises:
        BovwError: an index cannot be opened.
    """
    server = Hosted(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        server.close()

    app = FastAPI(
        title="bovw",
        version=__version__,
        summary="Find the picture that a crop, a detail or a distorted copy came from.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # they would load scripts from elsewhere; `pages` has another
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.hosted = server
    add_handlers(app, pages.message_page)
    for part in (asking, similar, images, overviews, pages, overview_pages, experiments):
        app.include_router(part.router)

    @app.get("/static/map-view.js", include_in_schema=False)
    async def send_map_view() -> FileResponse:
        """What draws a map, here as in the page of `bovw map`."""
        return FileResponse(FOLDER / "map.js", media_type="text/javascript")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Meter, metrics=server.metrics)
    return app


def serve(settings: ServerSettings, listening: Callable[[str, int], None]) -> None:
    """Serve until a signal ends it: answers that are under way are finished.

    Args:
        listening: called with address and port, once connections are accepted.

    Raises:
        BovwError: an index cannot be opened, or the address cannot be used.
    """
    app = create_app(settings)
    try:
        found = bound_socket(settings)
    except OSError as error:
        app.state.hosted.close()
        place = f"{settings.host}:{settings.port}"
        raise BovwError(
            f"{place}: cannot listen there: {error.strerror or error}; try another --port"
        ) from error
    config = uvicorn.Config(
        app,
        http="h11",  # bounds what it keeps of headers
        ws="none",
        log_config=None,
        log_level="error",  # what hostile clients send is no news
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=round(settings.drain_seconds),
    )
    with found:
        listening(settings.host, found.getsockname()[1])
        try:
            uvicorn.Server(config).run(sockets=[found])
        except KeyboardInterrupt:  # the signal again, once all is drained
            pass
        finally:
            app.state.hosted.close()


def bound_socket(settings: ServerSettings) -> socket.socket:
    """A socket that listens. Raises OSError."""
    (family, _, _, _, address), *_ = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except BaseException:
        found.close()
        raise
    return found
