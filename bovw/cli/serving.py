"""The command that serves: a page and an API over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingLibraryError
from .console import parsed_limits, warn
from .options import (
    ACTIONS,
    CORES,
    INDEX_NAME,
    PLACES,
    LimitOption,
    RootOption,
    nearest_index,
    option,
)

__all__ = ["serve"]

ACCESS = "Who may ask, and for what"
LIBRARIES = ("fastapi", "uvicorn", "multipart", "python_multipart", "prometheus_client")


def nearest_indexes(
    context: typer.Context, param: typer.CallbackParam, paths: list[Path]
) -> list[Path]:
    """The indexes that are meant (see `options.nearest_index`)."""
    return [nearest_index(context, param, path) for path in paths]


def serve(
    host: Annotated[
        str,
        option(
            ACCESS,
            "Listen at this address; all but loopback needs --token.",
            value="ADDRESS",
            env="HOST",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, option(ACCESS, "0: any that is free.", value="N", env="PORT", min=0, max=65535)
    ] = 8717,
    token: Annotated[
        str | None, option(ACCESS, "What callers must know.", value="TEXT", env="TOKEN")
    ] = None,
    allow_host: Annotated[
        list[str],
        option(ACCESS, "A name of this machine, as in the URL; repeatable.", value="NAME"),
    ] = [],  # noqa: B006 - Typer's way; nobody changes it
    allow_path: Annotated[
        list[Path],
        option(ACCESS, "Requests may name pictures below this folder; repeatable.", value="FOLDER"),
    ] = [],  # noqa: B006
    limit: LimitOption = [],  # noqa: B006
    writable: Annotated[
        bool, option(ACTIONS, "Images may be added and removed.", "--writable")
    ] = False,
    upload_to: Annotated[
        Path | None, option(ACTIONS, "The folder for pictures that are added.", value="FOLDER")
    ] = None,
    experiments: Annotated[
        Path | None,
        option(ACTIONS, "Show the evaluations that were saved in this folder.", value="FOLDER"),
    ] = None,
    indexes: Annotated[
        list[Path],
        option(
            PLACES,
            "Folder of an index; repeatable.",
            "--index",
            value="PATH",
            env="INDEX",
            callback=nearest_indexes,
            show_default="index.bovw here or in a folder above",
        ),
    ] = [INDEX_NAME],  # noqa: B006
    root: RootOption = None,
    cache: Annotated[
        Path | None,
        option(
            PLACES,
            "The folder for thumbnails, uploaded queries and surveys.",
            value="FOLDER",
            env="CACHE",
            show_default="~/.cache/bovw",
        ),
    ] = None,
    cache_bytes: Annotated[
        int, option(PLACES, "That it may hold.", value="N", min=1_000_000, max=10**15)
    ] = 500_000_000,
    jobs: Annotated[
        int,
        option(
            PLACES,
            "Processes that search.",
            value="N",
            env="JOBS",
            min=1,
            max=1024,
            show_default="one a core",
        ),
    ] = CORES,
    waiting: Annotated[
        int,
        option(
            PLACES,
            "Searches that may wait; more are told to come back.",
            value="N",
            env="WAITING",
            min=0,
            max=100_000,
        ),
    ] = 32,
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
