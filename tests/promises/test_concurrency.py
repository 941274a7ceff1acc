"""Readers and writers of one index at a time, in threads and in processes: every answer is that of
a committed generation.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from bovw import (
    CheckReport,
    ImageIndex,
    SearchOptions,
    Vocabulary,
    check_index,
)
from bovw.errors import IndexExistsError, IndexLockedError
from bovw.index import writer as writers
from bovw.index.snapshot import Snapshot
from bovw.storage.directory import Directory
from tests.helpers.columns import one_optional_column  # noqa: F401 - used by itself
from tests.helpers.pictures import textured

COUNT = 10
# The seed of a picture and how to search with a part of it; the last one reads the lengths of all
# images.
QUERIES = [
    (1, SearchOptions(crop=True)),
    (5, SearchOptions(words_per_feature=2)),
    (7, SearchOptions(crop=True, scoring="tfidf", mirror=False)),
]
# Nobody waits so long unless something is broken.
PATIENCE = 120

Answer = tuple[tuple[str, float, int, bool, bytes], ...]
Seen = set[tuple[int, tuple[Answer, ...]]]


class Event(Protocol):
    """What the events of threads and of processes have in common."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...


class Barrier(Protocol):
    """What the barriers of threads and of processes have in common."""

    def wait(self, timeout: float) -> int: ...


class Recorder(ImageIndex):
    """An index that keeps every generation that it has been at, to be asked later."""

    def __init__(
        self,
        directory: Directory,
        vocabulary: Vocabulary,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        self.kept: dict[int, Snapshot] = {}
        super().__init__(directory, vocabulary, root)

    def __enter__(self) -> Recorder:
        return self

    def _adopt(self, snapshot: Snapshot) -> None:
        self.kept[snapshot.manifest.generation] = snapshot
        super()._adopt(snapshot)

    def expected(self) -> dict[int, tuple[Answer, ...]]:
        """What each of the generations answers."""
        found = {}
        for generation, snapshot in sorted(self.kept.items()):
            super()._adopt(snapshot)
            found[generation] = answers(self)
        return found


def answer(index: ImageIndex, number: int) -> Answer:
    """What an index says to one of the queries, to the last bit."""
    seed, options = QUERIES[number]
    matches = index.search(textured(seed, 160, 120)[20:100, 30:130], options).matches
    return tuple(
        (
            match.path,
            match.score,
            match.inliers,
            match.verified,
            b"" if match.outline is None else match.outline.tobytes(),
        )
        for match in matches
    )


def answers(index: ImageIndex) -> tuple[Answer, ...]:
    """What an index says to all of the queries."""
    return tuple(answer(index, number) for number in range(len(QUERIES)))


def generation(index: ImageIndex) -> int:
    return index._snapshot.manifest.generation


def read_until_finished(path: str, started: Barrier, finished: Event) -> tuple[Seen, Seen]:
    """Search until the writer has finished. What objects answered that had just been refreshed or
    opened, and what one that never moved.
    """
    moving: Seen = set()
    still: Seen = set()
    with ImageIndex.open(path) as index, ImageIndex.open(path) as old:
        started.wait(PATIENCE)
        last = False
        while not last:
            last = finished.is_set()
            index.refresh()
            moving.add((generation(index), answers(index)))
            with ImageIndex.open(path) as opened:
                moving.add((generation(opened), answers(opened)))
            still.add((generation(old), answers(old)))
    return moving, still


def open_until_finished(path: str, started: Barrier, finished: Event) -> list[int]:
    """Open an index again and again until the writer has finished; how many images it had each
    time.
    """
    counts = []
    started.wait(PATIENCE)
    last = False
    while not last:
        last = finished.is_set()
        with ImageIndex.open(path) as index:
            counts.append(len(index))
            assert len(list(index.records())) == len(index)
    return counts


def add_slowly(path: str, pictures: list[str], holding: Event, go: Event) -> int:
    """Add pictures; after the first one, say so and hold the lock until told to go on."""

    def wait(*_: object) -> None:
        holding.set()
        assert go.wait(PATIENCE)

    with ImageIndex.open(path) as index:
        return index.add(pictures, batch=1, progress=wait).added


def add_patiently(path: str, pictures: list[str], started: Barrier) -> int:
    """Add pictures one by one, waiting for whoever else is writing."""
    with ImageIndex.open(path) as index:
        started.wait(PATIENCE)
        return sum(index.add(picture, wait=True).added for picture in pictures)


@contextmanager
def workers(kind: str, count: int) -> Iterator[tuple[Executor, Any]]:
    """So many threads or processes, and where to get barriers and events for them."""
    if kind == "threads":
        with ThreadPoolExecutor(count) as threads:
            yield threads, threading
    else:
        context = multiprocessing.get_context("spawn")
        with context.Manager() as manager, ProcessPoolExecutor(count, context) as processes:
            yield processes, manager


@pytest.fixture
def pictures(photos: list[Path], tmp_path: Path) -> list[str]:
    """Copies of the pictures, for a test to change."""
    (tmp_path / "photos").mkdir()
    for file in photos[:COUNT]:
        (tmp_path / "photos" / file.name).write_bytes(file.read_bytes())
    return [str(tmp_path / "photos" / f"{number}.png") for number in range(COUNT)]


@pytest.fixture
def path(pictures: list[str], vocabulary: Vocabulary, tmp_path: Path) -> str:
    """An index of the first half of the pictures, in two segments."""
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        index.add(pictures[: COUNT // 2], batch=3)
    return str(tmp_path / "i.bovw")


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few small segments merge, and commits quick: there are more of them in the time."""
    monkeypatch.setattr(writers, "FAN_IN", 3)
    monkeypatch.setattr(writers, "SMALL", 4)
    monkeypatch.setattr(os, "fsync", lambda _: None)


def write(index: ImageIndex, pictures: list[str]) -> None:
    """Add, change, prune, remove and merge in small commits, so that in the end the first two
    pictures are missing.
    """
    spare = Path(pictures[0]).read_bytes()
    for turn in range(2):
        index.add(pictures, batch=1)
        for number, picture in enumerate(pictures[turn::2]):
            os.utime(picture, ns=(1, 10 * turn + number))
        index.add(pictures, batch=2)
        index.remove(pictures[turn : turn + 4])
        os.unlink(pictures[0])
        index.add(pictures[1:7], batch=4)
        index.add(os.path.dirname(pictures[0]), prune=True)
        index.merge()
        Path(pictures[0]).write_bytes(spare)
    index.remove(pictures[:2])


@pytest.mark.slow
@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_every_answer_is_that_of_a_committed_generation(
    kind: str, path: str, pictures: list[str], vocabulary: Vocabulary
) -> None:
    with workers(kind, 2) as (executor, sync), Recorder(Directory(path), vocabulary) as index:
        first = generation(index)
        started, finished = sync.Barrier(3), sync.Event()
        readers = [executor.submit(read_until_finished, path, started, finished) for _ in range(2)]
        try:
            started.wait(PATIENCE)
            write(index, pictures)
        finally:
            finished.set()
        newest = generation(index)
        expected = index.expected()
        for reader in readers:
            moving, still = reader.result()
            assert moving <= set(expected.items()) and newest in {at for at, _ in moving}
            assert still == {(first, expected[first])}
    # nothing is left of the generation that one object searched all the time
    assert not {entry.name for entry in index.kept[first].manifest.segments} & set(
        os.listdir(os.path.join(path, "segments"))
    )


@pytest.mark.slow
@pytest.mark.usefixtures("merging")
def test_opening_never_fails_while_a_writer_commits(path: str, pictures: list[str]) -> None:
    with workers("processes", 2) as (executor, sync), ImageIndex.open(path) as index:
        started, finished = sync.Barrier(3), sync.Event()
        readers = [executor.submit(open_until_finished, path, started, finished) for _ in range(2)]
        try:
            started.wait(PATIENCE)
            write(index, pictures)
        finally:
            finished.set()
        assert all(reader.result()[-1] == COUNT - 2 for reader in readers)


class Interruption:
    """Does something just before the n-th time that a reader turns to the files of an index."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
        self.action = action
        self.left = -1
        for name in ("names", "opened"):
            monkeypatch.setattr(Directory, name, self.counted(getattr(Directory, name)))

    def counted(self, method: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.action()
            return method(*arguments)

        return call

    def happens_during(self, step: int, reading: Callable[[], object]) -> bool:
        """Whether it happened before `reading` came to its end."""
        self.left = step
        reading()
        happened = self.left <= 0
        self.left = -1
        return happened


@pytest.mark.slow
@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("merging", [False, True])
@pytest.mark.parametrize("action", ["open", "refresh", "search", "check"])
def test_a_writer_may_commit_between_any_two_steps_of_a_reader(
    action: str, merging: bool, path: str, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(1, 10_000))
    writer = ImageIndex.open(path)

    def change() -> None:
        """Commit some generations, all with the same answers; no file of the one before stays if
        `merging`.
        """
        if merging:
            writer.merge()
        os.utime(pictures[0], ns=(1, next(times)))
        assert writer.add(pictures[0]).changed == 1

    change()
    expected = answers(writer)
    interruption = Interruption(monkeypatch, change)
    # every other step: those that this leaves out are looked at with the other way to commit
    for step in range(2 - merging, 1000, 2):
        reader = ImageIndex.open(path)
        before = generation(writer)
        if action == "refresh":
            change()

        def read(reader: ImageIndex = reader, before: int = before) -> None:
            if action == "check":
                report = check_index(path)
                assert (report.damages, report.leftovers, report.image_count) == (
                    [],
                    [],
                    COUNT // 2,
                )
            elif action == "open":
                with ImageIndex.open(path) as opened:
                    assert answers(opened) == expected and generation(opened) >= before
            elif action == "refresh":
                assert reader.refresh() and answers(reader) == expected
            else:
                assert answers(reader) == expected and generation(reader) == before

        happened = interruption.happens_during(step, read)
        reader.close()
        if not happened:
            break
    assert step > 2 or action == "search"


def test_a_check_takes_nothing_that_a_writer_has_just_committed_for_garbage(
    path: str, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ImageIndex.open(path)
    left = pictures[COUNT // 2 :]

    def change() -> None:
        if left:
            writer.add(left.pop())

    reports: list[CheckReport] = []
    interruption = Interruption(monkeypatch, change)
    for step in range(1, 4):
        interruption.happens_during(step, lambda: reports.append(check_index(path)))
    assert [(report.damages, report.leftovers) for report in reports] == [([], [])] * len(reports)


@pytest.mark.slow
def test_a_second_writer_fails_at_once_or_waits(path: str, pictures: list[str]) -> None:
    half = COUNT // 2
    with (
        workers("processes", 1) as (executor, sync),
        ThreadPoolExecutor(1) as threads,
        ImageIndex.open(path) as second,
    ):
        holding, go = sync.Event(), sync.Event()
        first = executor.submit(add_slowly, path, pictures[half:-2], holding, go)
        try:
            assert holding.wait(PATIENCE)
            before = generation(second)
            for change in (
                lambda: second.add(pictures[-2:]),
                lambda: second.remove(pictures),
                second.merge,
            ):
                with pytest.raises(IndexLockedError):
                    change()
            assert generation(second) == before and answers(second)  # it still reads
            waiting = threads.submit(second.add, pictures[-2:], wait=True)
            assert not waiting.done()
        finally:
            go.set()
        assert (first.result(), waiting.result().added, len(second)) == (COUNT - half - 2, 2, COUNT)
        with ImageIndex.open(path) as index:
            assert sorted(record.path for record in index.records()) == sorted(pictures)


@pytest.mark.slow
@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_writers_that_wait_add_every_picture_once(
    kind: str, path: str, pictures: list[str]
) -> None:
    with workers(kind, 2) as (executor, sync):
        started = sync.Barrier(2)
        added = [
            executor.submit(add_patiently, path, order, started)
            for order in (pictures, pictures[::-1])
        ]
        assert sum(each.result() for each in added) == COUNT - COUNT // 2
    with ImageIndex.open(path) as index:
        assert sorted(record.path for record in index.records()) == sorted(pictures)
    assert check_index(path).damages == []


@pytest.mark.slow
@pytest.mark.usefixtures("merging")
def test_threads_share_one_object_and_one_of_them_writes(
    path: str, pictures: list[str], vocabulary: Vocabulary
) -> None:
    finished = threading.Event()
    started = threading.Barrier(4)

    def search(number: int) -> list[tuple[int, Answer, int]]:
        found = []
        started.wait(PATIENCE)
        last = False
        while not last:
            last = finished.is_set()
            before = generation(index)
            found.append((before, answer(index, number), generation(index)))
            assert (
                len(index) <= COUNT
                and len(list(index.records())) <= COUNT
                and index.info().image_count <= COUNT
            )
        return found

    with Recorder(Directory(path), vocabulary) as index, ThreadPoolExecutor(3) as threads:
        searches = [threads.submit(search, number) for number in range(len(QUERIES))]
        try:
            started.wait(PATIENCE)
            write(index, pictures)
        finally:
            finished.set()
        found = [search.result() for search in searches]
        expected = index.expected()
        for number, seen in enumerate(found):
            for before, said, after in seen:
                assert said in {expected[at][number] for at in range(before, after + 1)}


def test_threads_that_write_through_one_object_take_turns(path: str, pictures: list[str]) -> None:
    with ImageIndex.open(path) as index, ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda picture: index.add(picture, wait=True), pictures))
        assert sum(report.added for report in reports) == COUNT - COUNT // 2 and len(index) == COUNT
        assert sorted(record.path for record in index.records()) == sorted(pictures)


def test_of_those_who_make_an_index_at_once_one_succeeds(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    def make(place: Path) -> bool:
        started.wait(PATIENCE)
        try:
            ImageIndex.create(place, vocabulary).close()
        except (IndexExistsError, IndexLockedError):
            return False
        return True

    with ThreadPoolExecutor(3) as threads:
        for turn in range(5):
            started = threading.Barrier(3)
            assert sum(threads.map(make, [tmp_path / f"{turn}.bovw"] * 3)) == 1
            with ImageIndex.open(tmp_path / f"{turn}.bovw") as index:
                assert len(index) == 0
