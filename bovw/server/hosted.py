"""What all requests share: the indexes, the processes that work, the folders of what can be made
anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request, Response

from ..errors import BovwError, ImageError, ParameterError
from ..index.record import ImageRecord
from ..pictures.files import unreadable
from ..pictures.fragments import file_of
from ..reporting import Failure
from ..workers.process import Work
from ..workers.service import Place, Service
from .cache import FolderCache
from .metrics import Metrics
from .problems import ProblemError
from .settings import ServerSettings
from .shelf import Served, Shelf, source_of
from .surveys import Surveys
from .tasks import PictureTask, SourceFile, Task, perform, require_reachable, require_unchanged

__all__ = ["SIDES", "Hosted", "hosted", "jpeg"]

# Long sides that a picture can be shown at: few, so that few are kept.
SIDES = (320, 1600)
# Requests for pictures that may wait: a page of a collection asks for many.
PICTURES_WAITING = 256
# The shares of the cache that uploaded queries and what surveys found may take.
QUERIES, SURVEYS = 0.2, 0.2


class Hosted:
    """What a server has: opened once, closed at its end.

    Attributes:
        settings: what it was told.
        metrics: what it did.
        thumbnails: pictures made small, by what they were made from.
        queries: uploaded queries, by the hash of their content.
        surveys: what is worked out about whole collections.
        names: of the indexes.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Open everything. Raises BovwError."""
        self.settings, self.metrics = settings, Metrics()
        root, seconds = settings.picture_root, settings.limits.seconds
        places = {
            name: source_of(path, root, seconds)
            for name, path in named_indexes(settings.indexes).items()
        }
        self.names = list(places)
        self._shelf = Shelf(places, root)
        for name in self.names:
            self.index(name)
        self.thumbnails = FolderCache(
            settings.cache / "thumbnails", round(settings.cache_bytes * (1 - QUERIES - SURVEYS))
        )
        self.queries = FolderCache(
            settings.cache / "queries", round(settings.cache_bytes * QUERIES)
        )
        findings = FolderCache(settings.cache / "surveys", round(settings.cache_bytes * SURVEYS))
        self.surveys = Surveys(places, root, findings)
        work = Work(partial(perform, shelf=self._shelf.for_processes()))
        self.searching = Service(work, settings.jobs, seconds, settings.waiting)
        pictures = Work(partial(perform, shelf=Shelf({}, None)))
        self.showing = Service(pictures, max(1, settings.jobs // 2), seconds, PICTURES_WAITING)
        self.metrics.show_processes("search", lambda: self.searching.unfinished)
        self.metrics.show_processes("picture", lambda: self.showing.unfinished)
        self.metrics.show_processes("survey", lambda: self.surveys.unfinished)
        # one writer at a time; an index has no more
        self.writing = asyncio.Lock()

    def close(self) -> None:
        """Finish what was begun, but for surveys, and end the processes."""
        self.surveys.close()
        self.searching.close()
        self.showing.close()
        self._shelf.close()

    def index(self, name: str | None) -> Served:
        """An index or a cluster of a name, the first if that is None, at its newest generation.
        Raises ProblemError.
        """
        index = self._shelf.index(self.index_name(name))
        self.metrics.show_index(self.index_name(name), index.generation, len(index))
        return index

    async def current(self, name: str | None) -> Served:
        """As `index`, for a route: to open a new generation takes a while."""
        return await asyncio.to_thread(self.index, name)

    def index_name(self, name: str | None) -> str:
        """The name of an index that is there. Raises ProblemError."""
        if name is None:
            return self.names[0]
        if name not in self.names:
            raise ProblemError(404, f"there is no index {name!r}: {', '.join(self.names)}")
        return name

    async def total(self) -> int:
        """How many images all indexes have."""
        return sum([len(await self.current(name)) for name in self.names])

    async def record(self, index: str | None, key: str) -> ImageRecord:
        """An image of an index. Raises ProblemError."""
        source = await self.current(index)
        record = await asyncio.to_thread(source.record_of_key, key)
        if record is None:
            raise ProblemError(404, f"the index has no image {key!r}")
        return record

    async def record_with_file(self, index: str | None, key: str) -> ImageRecord:
        """An image of an index that has a file on this machine. Raises ProblemError or
        ImageError.
        """
        record = await self.record(index, key)
        if record.file is None:
            raise ImageError(record.id, "is an image without a file")
        await asyncio.to_thread(require_reachable, self.is_cluster(self.index_name(index)), record)
        return record

    def is_cluster(self, name: str) -> bool:
        """Whether a name is that of a cluster."""
        return self._shelf.is_cluster(name)

    async def done(self, service: Service, task: Task, place: Place | None = None) -> Any:
        """The result of a task, for which a place may be kept. Raises BovwError."""
        result = await asyncio.wrap_future(service.submit(task, place))
        if isinstance(result, BovwError):
            raise result
        if isinstance(result, Failure):
            raise ImageError("picture", result.reason)
        return result

    async def shown(self, record: ImageRecord, side: int) -> bytes:
        """An image made small, as a JPEG file. Raises BovwError."""
        if record.file is None:
            raise ImageError(record.id, "is an image without a file")
        try:
            status = await asyncio.to_thread(os.stat, file_of(record.path))
        except OSError as error:
            raise unreadable(record.path, error) from None
        identity = f"{record.sha256} {record.path} {status.st_dev} {status.st_ino} {status.st_size}"
        identity = f"{identity} {status.st_mtime_ns}"

        def require() -> None:
            require_unchanged(record, self.settings.limits)

        return await self.shown_file(identity, SourceFile(record.path, record.path), side, require)

    async def shown_file(
        self, identity: str, file: SourceFile, side: int, require: Callable[[], None] | None = None
    ) -> bytes:
        """A picture file made small, as a JPEG file.

        Args:
            identity: other pictures have another one.
            require: raises a BovwError if the file may not be shown.

        Raises:
            BovwError: it cannot be used.
        """
        if side not in SIDES:
            raise ParameterError(f"side: {side} is none of {', '.join(map(str, SIDES))}")
        name = f"{hashlib.sha256(identity.encode(errors='surrogateescape')).hexdigest()}-{side}"
        content = await asyncio.to_thread(self.thumbnails.read, name)
        if content is None:
            if require:
                await asyncio.to_thread(require)
            content, _ = await self.done(
                self.showing, PictureTask(file, side, self.settings.limits)
            )
            await asyncio.to_thread(self.thumbnails.write, name, content)
        return content


def named_indexes(paths: Sequence[Path]) -> Mapping[str, Path]:
    """Indexes and clusters by the names of their folders or files, which are told apart if need
    be.
    """
    named: dict[str, Path] = {}
    for path in paths:
        stem = Path(path).resolve().stem or "index"
        name, number = stem, 1
        while name in named:
            number += 1
            name = f"{stem}-{number}"
        named[name] = Path(path)
    return named


def jpeg(content: bytes) -> Response:
    """A picture as an answer, which a browser may keep for a while."""
    return Response(
        content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"}
    )


def hosted(request: Request) -> Hosted:
    """What the server of a request has."""
    found = request.app.state.hosted
    assert isinstance(found, Hosted)
    return found
