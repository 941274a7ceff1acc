"""Whatever is done to an index, in whatever order: it answers as one that was made in one go."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from bovw import FeatureSpec, ImageIndex, SearchOptions, Vocabulary, check_index
from bovw.features.local import Features, extract
from bovw.index import extraction
from bovw.index import segment as segments
from bovw.index import writer as writers
from bovw.index.extraction import Extracted, Task
from bovw.index.record import FileStamp
from bovw.pictures.reading import Picture
from bovw.reporting import Failure
from tests.helpers.pictures import textured

# Pictures below the folder that is indexed, and the folders themselves: these are always there.
NAMES = [f"{folder}{number}.pgm" for folder in ("", "a/", "b/", "b/c/") for number in range(3)]
FOLDERS = [".", "a", "b", "b/c"]
CONTENTS = 10
OBJECTS = 3
OPTIONS = [
    SearchOptions(crop=True),
    SearchOptions(),
    SearchOptions(k=3, verify_top=2, words_per_feature=2),
    SearchOptions(scoring="tfidf", crop=True, mirror=False),
]

# What lies under a name: the number of its content, and its modification time.
Held = tuple[int, int]
Answer = tuple[str, float, int, bool, float, bytes, bytes]

names_of_pictures = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)
names_of_all = st.lists(st.sampled_from(NAMES + FOLDERS), min_size=1, max_size=4, unique=True)
contents = st.integers(0, CONTENTS - 1)
objects = st.integers(0, OBJECTS - 1)
batches = st.integers(1, 4)


class World:
    """What all runs share: a vocabulary, some pictures as files of one size, queries, and what they
    must find.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.runs = 0
        self.files: list[bytes] = []
        self.queries: list[NDArray[np.uint8]] = []
        for number in range(CONTENTS):
            gray = cv2.cvtColor(textured(number, 160, 120), cv2.COLOR_BGR2GRAY)
            self.files.append(cv2.imencode(".pgm", gray)[1].tobytes())
        for seed, (rows, columns) in (
            (1, (slice(10, 110), slice(20, 130))),
            (6, (slice(0, 120), slice(0, 160))),
            (50, (slice(120), slice(160))),
        ):
            self.queries.append(textured(seed, 160, 120)[rows, columns])
        self.hashes = [hashlib.sha256(content).hexdigest() for content in self.files]
        self.known: dict[tuple[tuple[str, int], ...], list[list[Answer]]] = {}

    def new_folder(self) -> Path:
        """A folder that nobody has used."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        for name in FOLDERS:
            (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        return folder

    def answers(self, index: ImageIndex, folder: Path, query: int) -> list[Answer]:
        """What an index says to one of the queries, to the last bit."""
        return [
            (
                os.path.relpath(match.path, folder / "photos"),
                match.score,
                match.inliers,
                match.verified,
                match.log_false_alarms,
                b"" if match.outline is None else match.outline.tobytes(),
                match.correspondences.tobytes(),
            )
            for options in OPTIONS
            for match in index.search(self.queries[query], options).matches
        ]

    def expected(self, held: dict[str, Held]) -> list[list[Answer]]:
        """What an index of these pictures says that was made in one go, to each of the queries."""
        key = tuple(sorted((name, content) for name, (content, _) in held.items()))
        if key not in self.known:
            folder = self.new_folder()
            for name, content in key:
                (folder / "photos" / name).write_bytes(self.files[content])
            with ImageIndex.create(folder / "i.bovw", self.vocabulary) as index:
                assert index.add(folder / "photos").added == len(key)
                self.known[key] = [
                    self.answers(index, folder, query) for query in range(len(self.queries))
                ]
            shutil.rmtree(folder)
        return self.known[key]


class IndexMachine(RuleBasedStateMachine):
    """Files in a folder, and several objects of one index of it, each of which reads and writes."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.world.new_folder()
        self.path = self.folder / "i.bovw"
        self.files: dict[str, Held] = {}
        self.indexed: dict[str, Held] = {}
        self.removed = set[str]()
        self.objects = [ImageIndex.create(self.path, self.world.vocabulary)]
        self.objects += [ImageIndex.open(self.path) for _ in range(OBJECTS - 1)]
        self.views: list[dict[str, Held]] = [{} for _ in self.objects]
        self.time = 10**18

    def file(self, name: str) -> str:
        return str(self.folder / "photos" / name)

    def present(self, names: list[str]) -> list[str]:
        return [name for name in names if name in self.files]

    def put(self, name: str, content: int, time: int) -> None:
        Path(self.file(name)).write_bytes(self.world.files[content])
        os.utime(self.file(name), ns=(time, time))
        self.files[name] = content, time

    @initialize(first=contents, names=names_of_all, batch=batches)
    def begin_with_some_pictures(self, first: int, names: list[str], batch: int) -> None:
        self.write_all_pictures(first)
        self.add(0, names, batch, False, False)

    @rule(names=names_of_pictures, first=contents)
    def write_new_pictures_or_change_some(self, names: list[str], first: int) -> None:
        self.time += 1
        for number, name in enumerate(names):
            self.put(name, (first + number) % CONTENTS, self.time)

    @rule(first=contents)
    def write_all_pictures(self, first: int) -> None:
        self.write_new_pictures_or_change_some(NAMES, first)

    @rule(names=names_of_pictures, content=contents)
    def change_pictures_so_that_neither_size_nor_time_tells(
        self, names: list[str], content: int
    ) -> None:
        for name in self.present(names):
            self.put(name, content, self.files[name][1])

    @rule(names=names_of_pictures)
    def touch_pictures(self, names: list[str]) -> None:
        self.time += 1
        for name in self.present(names):
            self.put(name, self.files[name][0], self.time)

    @rule(names=names_of_pictures)
    def delete_files(self, names: list[str]) -> None:
        for name in self.present(names):
            os.unlink(self.file(name))
            del self.files[name]

    @rule(who=objects, batch=batches, check_content=st.booleans(), prune=st.booleans())
    def add_all(self, who: int, batch: int, check_content: bool, prune: bool) -> None:
        self.add(who, ["."], batch, check_content, prune)

    @rule(
        who=objects,
        names=names_of_all,
        batch=batches,
        check_content=st.booleans(),
        prune=st.booleans(),
    )
    def add(self, who: int, names: list[str], batch: int, check_content: bool, prune: bool) -> None:
        counts = dict.fromkeys(["added", "changed", "unchanged", "removed", "moved"], 0)
        missing = {name for name in names if name in NAMES and name not in self.files}
        asked = {name: origin_of(name, names) for name in covered(self.files, names)}
        for name, origin in sorted(asked.items()):
            if name not in self.indexed and any(
                len(each.strip(".")) > len(origin.strip("."))
                for each in self.removed
                if covers(each, name)
            ):
                continue
            content, time = self.files[name]
            lost = [
                old
                for old in sorted(self.indexed)
                if old not in self.files and self.indexed[old][0] == content
            ]
            if name not in self.indexed and lost:
                kind = "moved"
                del self.indexed[lost[0]]
            elif name not in self.indexed:
                kind = "added"
            elif check_content:
                kind = "changed" if self.indexed[name][0] != content else "unchanged"
            else:
                kind = "changed" if self.indexed[name][1] != time else "unchanged"
            counts[kind] += 1
            if kind != "unchanged":
                self.indexed[name] = content, time
        self.removed -= set(asked.values())
        if prune:
            for name in covered(self.indexed, names):
                if name not in self.files:
                    counts["removed"] += 1
                    missing.discard(name)
                    del self.indexed[name]
        report = self.objects[who].add(
            [self.file(name) for name in names],
            batch=batch,
            check_content=check_content,
            prune=prune,
            force=True,
        )
        assert {name: getattr(report, name) for name in counts} == counts
        assert {error.name for error in report.failed} == {self.file(name) for name in missing}
        self.views[who] = dict(self.indexed)

    @rule(who=objects, names=names_of_all)
    def remove(self, who: int, names: list[str]) -> None:
        gone = covered(self.indexed, names)
        self.removed |= {each for each in names if any(covers(each, name) for name in gone)}
        for name in gone:
            del self.indexed[name]
        assert self.objects[who].remove([self.file(name) for name in names]).removed == len(gone)
        self.views[who] = dict(self.indexed)

    @rule(who=objects)
    def merge(self, who: int) -> None:
        self.objects[who].merge()
        self.views[who] = dict(self.indexed)
        info = self.objects[who].info()
        assert (
            info.deleted_count == 0
            and info.segment_count <= 1 + 2 * info.feature_count // writers.MAX_FEATURES
        )

    @rule(who=objects)
    def reopen(self, who: int) -> None:
        self.objects[who].close()
        self.objects[who] = ImageIndex.open(self.path)
        self.views[who] = dict(self.indexed)

    @rule(who=objects)
    def refresh(self, who: int) -> None:
        self.objects[who].refresh()
        self.views[who] = dict(self.indexed)
        assert not self.objects[who].refresh()

    @rule(who=objects, query=st.integers(0, 2))
    def search(self, who: int, query: int) -> None:
        assert (
            self.world.answers(self.objects[who], self.folder, query)
            == self.world.expected(self.views[who])[query]
        )

    @invariant()
    def every_object_has_the_pictures_of_its_generation(self) -> None:
        for index, view in zip(self.objects, self.views, strict=True):
            records = {
                os.path.relpath(record.path, self.folder / "photos"): record
                for record in index.records()
            }
            found = {
                name: (record.sha256, record.file and record.file.mtime)
                for name, record in records.items()
            }
            assert found == {
                name: (self.world.hashes[content], time) for name, (content, time) in view.items()
            }
            assert len(index) == len(view) == len(list(index.records()))

    def teardown(self) -> None:
        report = check_index(self.path)
        assert (report.damages, report.leftovers, report.image_count) == ([], [], len(self.indexed))
        for who in range(OBJECTS):
            for query in range(len(self.world.queries)):
                self.search(who, query)
            self.objects[who].close()
        shutil.rmtree(self.folder)


def covered(held: dict[str, Held], names: Sequence[str]) -> list[str]:
    """The pictures that are among some names, or lie below folders that are."""
    return [name for name in held if any(covers(each, name) for each in names)]


def covers(each: str, name: str) -> bool:
    """Whether a picture is of a name, or lies below the folder of that name."""
    return each in (".", name) or name.startswith(f"{each}/")


def origin_of(name: str, names: Sequence[str]) -> str:
    """Of those of some names that cover a picture, the one that says most."""
    return max(
        (each for each in names if covers(each, name)), key=lambda each: (each != ".", len(each))
    )


Extract = Callable[..., Extracted | Failure | None]


def remembering(extract_picture: Extract) -> Extract:
    """`extract_picture`, but each content is extracted once: that takes nearly all of the time."""
    known: dict[bytes, Extracted] = {}

    def remembered(task: Task, **more: Any) -> Extracted | Failure | None:
        assert isinstance(task.source, str)
        content = Path(task.source).read_bytes()
        if content not in known:
            extracted = extract_picture(replace(task, known=""), **more)
            assert isinstance(extracted, Extracted)
            known[content] = extracted
        record = known[content].record
        if record.sha256 == task.known:
            return None
        status = os.stat(task.source)
        file = FileStamp(task.path, status.st_size, status.st_mtime_ns)
        return replace(known[content], record=replace(record, id=task.id, file=file))

    return remembered


def remembering_queries(
    extracting: Callable[[Picture, FeatureSpec], Features],
) -> Callable[[Picture, FeatureSpec], Features]:
    """The same function, but each query is extracted once."""
    known: dict[bytes, Features] = {}

    def remembered(picture: Picture, spec: FeatureSpec) -> Features:
        content = picture.gray.tobytes()
        if content not in known:
            known[content] = extracting(picture, spec)
        return known[content]

    return remembered


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "extract_picture", remembering(extraction.extract_picture))
        patch.setattr("bovw.search.query.extract", remembering_queries(extract))
        patch.setattr(writers, "FAN_IN", 3)
        patch.setattr(writers, "SMALL", 4)
        patch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug here
        yield World(tmp_path_factory.mktemp("equality"), vocabulary)


# Few features count as many: the files that only large segments have are there. Or a merge makes
# several segments.
@pytest.mark.slow
@pytest.mark.parametrize(("counted", "most"), [(131_072, 2**32), (0, 2**32), (0, 250)])
def test_whatever_is_done_the_index_answers_as_one_made_in_one_go(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: int, most: int
) -> None:
    monkeypatch.setattr(segments, "COUNTED_FEATURES", counted)
    monkeypatch.setattr(writers, "MAX_FEATURES", most)
    monkeypatch.setattr(IndexMachine, "world", world, raising=False)
    run_state_machine_as_test(
        IndexMachine, settings=settings(max_examples=16, stateful_step_count=25)
    )


def test_a_merge_makes_no_more_segments_than_what_is_alive_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.new_folder()
    for number in range(8):
        (folder / "photos" / f"{number}.pgm").write_bytes(world.files[number])
    with ImageIndex.create(folder / "i.bovw", world.vocabulary) as index:
        index.add(folder / "photos", batch=4)
        features = index.info().feature_count
        monkeypatch.setattr(writers, "MAX_FEATURES", features // 2 + 10)  # for half of the pictures
        index.remove([folder / "photos" / f"{number}.pgm" for number in (0, 1, 6, 7)])
        index.merge()
        assert (index.info().image_count, index.info().segment_count) == (4, 1)
