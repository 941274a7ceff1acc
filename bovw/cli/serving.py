"""The command that serves: a page and an API over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingLibraryError
from .console import CORES, LimitOption, RootOption, parsed_limits, warn

__all__ = ["serve"]

LIBRARIES = ("fastapi", "uvicorn", "multipart", "python_multipart", "prometheus_client")


def serve(
    indexes: Annotated[
        list[Path],
        typer.Option("--index", envvar="BOVW_INDEX", help="Folder of an index; repeatable."),
    ] = [Path("index.bovw")],  # noqa: B006 - Typer's way; nobody changes it
    host: Annotated[
        str, typer.Option(help="Listen at this address; all but loopback needs --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8717,
    token: Annotated[
        str | None, typer.Option(envvar="BOVW_TOKEN", help="What callers must know.")
    ] = None,
    allow_host: Annotated[
        list[str],
        typer.Option(help="A name by which this machine is called, as in the URL; repeatable."),
    ] = [],  # noqa: B006
    allow_path: Annotated[
        list[Path],
        typer.Option(help="Requests may name pictures below this folder; repeatable."),
    ] = [],  # noqa: B006
    experiments: Annotated[
        Path | None, typer.Option(help="A folder of evaluations that were saved (--save).")
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Images may be added and removed.")
    ] = False,
    upload_to: Annotated[
        Path | None, typer.Option(help="The folder for pictures that are added.")
    ] = None,
    waiting: Annotated[
        int, typer.Option(min=0, help="Searches that may wait; more are told to come back.")
    ] = 32,
    cache: Annotated[
        Path | None,
        typer.Option(help="The folder for thumbnails and queries; ~/.cache/bovw by default."),
    ] = None,
    cache_bytes: Annotated[
        int, typer.Option(min=1_000_000, help="That it may hold.")
    ] = 500_000_000,
    limit: LimitOption = [],  # noqa: B006
    root: RootOption = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=1024, help="Processes that search; one a core by default.")
    ] = CORES,
) -> None:
    """Serve a page and an API over HTTP, on this machine only unless told otherwise."""
    try:
        from ..server.app import serve as serve_app
        from ..server.settings import SERVER_LIMITS, ServerSettings, default_cache, is_loopback
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        raise MissingLibraryError(
            f"`bovw serve` needs {error.name}: pip install 'bovw[serve]'"
        ) from error

    settings = ServerSettings(
        indexes=indexes,
        picture_root=root,
        host=host,
        port=port,
        token=token,
        allow_hosts=allow_host,
        allow_paths=allow_path,
        experiments=experiments,
        writable=writable,
        upload_to=upload_to,
        limits=parsed_limits(limit, base=SERVER_LIMITS),
        jobs=jobs,
        waiting=waiting,
        cache=cache or default_cache(),
        cache_bytes=cache_bytes,
    )

    def listening(address: str, port: int) -> None:
        shown = f"[{address}]" if ":" in address else address
        typer.echo(f"http://{shown}:{port}/")
        if not is_loopback(address):
            warn(address, "can be reached by whoever knows the token, which nothing encrypts")

    serve_app(settings, listening)
