"""Surveys of whole collections: work that may take minutes or hours, in the background, each in a
process of its own, and those of a kind one after the other. What they find is kept.
"""

from __future__ import annotations

import json
import os
import queue
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Protocol

from ..cluster.config import ClusterConfig
from ..cluster.gathering import gathered_index
from ..cluster.manifest import read_latest
from ..cluster.store import opened_store
from ..errors import BovwError, BusyError
from ..image_index import ImageIndex
from ..reporting import Failure, Progress
from ..workers.pool import Chunk, Pool
from ..workers.process import Work
from .cache import FolderCache
from .shelf import Place

__all__ = ["Begun", "Found", "Survey", "Surveys"]

# Surveys that may wait, and findings that are held in memory.
WAITING, HELD = 8, 3
# How much a survey stands back behind those who work for an answer.
NICENESS = 10
# Seconds between two words about how far it is.
PAUSE = 0.5

# What a survey finds: JSON values, and files by the ends of their names.
Found = tuple[dict[str, Any], dict[str, bytes]]


class Survey(Protocol):
    """What is to be found out about an index.

    Attributes:
        index: its name.
    """

    @property
    def index(self) -> str:
        """The name of the index."""

    def run(self, index: ImageIndex, key: str, progress: Progress) -> Found:
        """Find it out. Raises BovwError.

        Args:
            key: names the survey; the names of its files begin with it.
        """


@dataclass
class Begun:
    """A survey that waits or is under way.

    Attributes:
        key: names it.
        survey: what it is.
        future: has the JSON values, or raises what kept it from them.
        since: when it was asked for.
        told: where it says how far it is.
    """

    key: str
    survey: Survey
    told: str
    future: Future[dict[str, Any]] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)

    def progress(self) -> dict[str, Any]:
        """How far it is: the stage, how much of it is done and of how much, as far as it says; and
        the seconds since it was asked for.
        """
        stage = "beginning" if self.future.running() else "waiting"
        facts: dict[str, Any] = {"stage": stage, "done": 0, "total": 0}
        with suppress(OSError, ValueError):
            facts.update(json.loads(read_text(self.told)))
        return {**facts, "seconds": round(time.monotonic() - self.since, 1)}


class Lane:
    """Surveys of a kind that wait, and the thread that looks after one after the other."""

    def __init__(self, work_off: Callable[[queue.Queue[Begun | None]], None]) -> None:
        """Start it."""
        self.waiting: queue.Queue[Begun | None] = queue.Queue()
        self.thread = threading.Thread(target=work_off, args=(self.waiting,), daemon=True)
        self.thread.start()


class Surveys:
    """The surveys of a server."""

    def __init__(
        self, places: Mapping[str, Place], picture_root: Path | None, cache: FolderCache
    ) -> None:
        """Args: where the indexes and clusters are; where their pictures are now; where findings
        are kept.
        """
        self._cache = cache
        self._told = tempfile.TemporaryDirectory(prefix="bovw-surveys-")
        self._work = Work(
            partial(surveyed, places=places, picture_root=picture_root, folder=self._told.name)
        )
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._begun: dict[str, Begun] = {}
        self._held: OrderedDict[str, dict[str, Any] | BovwError] = OrderedDict()
        self._lanes: dict[type[Survey], Lane] = {}

    @property
    def unfinished(self) -> int:
        """How many surveys wait or are under way."""
        return len(self._begun)

    def found(self, key: str) -> dict[str, Any] | None:
        """What a survey has found; None if it is not known. An error is told once, and found out
        anew after that. Raises BovwError.
        """
        with self._lock:
            held = self._held.pop(key, None)
            if isinstance(held, dict):
                self._held[key] = held
        if isinstance(held, BovwError):
            raise held
        if held is None:
            content = self._cache.read(key)
            with suppress(ValueError):
                held = json.loads(content) if content else None
            if held is not None:
                self._hold(key, held)
        return held

    def begin(self, key: str, survey: Survey) -> Begun:
        """Begin a survey, if it is not under way already. Raises BusyError."""
        with self._lock:
            if self._ending.is_set():
                raise BusyError("the server is ending: ask again later")
            if key in self._begun:
                return self._begun[key]
            if len(self._begun) > WAITING:
                raise BusyError(f"{WAITING} surveys are waiting already: ask again later")
            begun = self._begun[key] = Begun(key, survey, os.path.join(self._told.name, key))
            lane = self._lanes.get(type(survey))
            if lane is None:
                lane = self._lanes[type(survey)] = Lane(self._work_off)
            lane.waiting.put(begun)
        return begun

    def file(self, name: str) -> bytes | None:
        """A file that a survey has made; None if it is not there any more."""
        return self._cache.read(name)

    def close(self) -> None:
        """End the surveys that are under way, and drop the rest."""
        with self._lock:
            self._ending.set()
        for lane in self._lanes.values():
            lane.waiting.put(None)
            lane.thread.join()
        for begun in self._begun.values():
            begun.future.set_exception(BusyError("the server is ending: ask again later"))
        self._begun.clear()
        self._told.cleanup()

    def _work_off(self, waiting: queue.Queue[Begun | None]) -> None:
        """The life of the thread that looks after surveys of a kind."""
        while (begun := waiting.get()) is not None and not self._ending.is_set():
            found: dict[str, Any] | BovwError
            begun.future.set_running_or_notify_cancel()
            try:
                result = self._result(begun)
                if isinstance(result, BovwError):
                    raise result
                found, files = result
                with suppress(BovwError):  # findings that cannot be kept are held
                    for name, content in files.items():
                        self._cache.write(f"{begun.key}{name}", content)
                    self._cache.write(begun.key, json.dumps(found).encode("ascii"))
            except Exception as error:  # for whoever asked
                if self._ending.is_set():
                    return
                found = error if isinstance(error, BovwError) else BovwError(f"survey: {error}")
            self._hold(begun.key, found)
            with self._lock:
                del self._begun[begun.key]
            if isinstance(found, BovwError):
                begun.future.set_exception(found)
            else:
                begun.future.set_result(found)

    def _result(self, begun: Begun) -> Found | BovwError:
        """What a process says, which ends with the survey: it may hold a lot of memory."""
        pool = Pool(self._work, 1, inf)
        chunk = Chunk(0, [(begun.key, begun.survey)])
        waiting = deque([chunk])
        try:
            while chunk.results is None:
                if self._ending.is_set():
                    raise BusyError("the server is ending: ask again later")
                pool.hand_out(waiting)
                waiting.extendleft(reversed(pool.listen()))
        finally:
            pool.close()
        (result,) = chunk.results
        if isinstance(result, Failure):
            raise BovwError(f"the survey was not finished: its process {result.reason}")
        return result  # type: ignore[no-any-return]

    def _hold(self, key: str, found: dict[str, Any] | BovwError) -> None:
        """Hold what was found in memory, and let go of what was not asked for the longest time."""
        with self._lock:
            self._held[key] = found
            while len(self._held) > HELD:
                self._held.popitem(last=False)


def read_text(path: str) -> str:
    """The text of a file. Raises OSError."""
    with open(path, encoding="ascii") as file:
        return file.read()


def surveyed(
    item: tuple[str, Survey], places: Mapping[str, Place], picture_root: Path | None, folder: str
) -> Found | BovwError:
    """What a survey finds, or the error that keeps it from that; in a process of its own.

    Args:
        places, picture_root: where the indexes are, and their pictures.
        folder: for the file that says how far it is.
    """
    key, survey = item
    told = os.path.join(folder, key)
    os.nice(NICENESS)
    last, before = -inf, ""

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last, before
        if stage == before and time.monotonic() - last < PAUSE and done < total:
            return
        last, before = time.monotonic(), stage
        with suppress(OSError), open(told, "w", encoding="ascii") as file:
            json.dump({"stage": stage, "done": done, "total": total}, file)

    progress("beginning", 0, 0)
    try:
        with opened_index(places[survey.index], picture_root) as index:
            return survey.run(index, key, progress)
    except BovwError as error:
        return error


def opened_index(place: Place, picture_root: Path | None) -> ImageIndex:
    """An index, or all of a cluster as one on this machine. Raises BovwError."""
    if isinstance(place, ClusterConfig):
        return gathered_index(place, read_latest(opened_store(place.store)))
    return ImageIndex.open(place, picture_root=picture_root)
