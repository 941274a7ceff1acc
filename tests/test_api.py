"""What others build on: pictures from memory, ids, metadata, many queries, errors."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import ImageIndex, SearchOptions, Vocabulary, compare_pictures
from bovw.errors import (
    ImageError,
    IncompatibleError,
    IndexClosedError,
    IndexExistsError,
    IndexLockedError,
    ParameterError,
)
from bovw.pictures.reading import Limits
from bovw.reporting import Failure
from bovw.search.result import SearchResult
from bovw.searcher import Searcher, SearchRequest
from tests.helpers.pictures import textured

COUNT = 6
Item = tuple[str, Any, dict[str, Any] | None]


def png(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def picture(number: int) -> NDArray[np.uint8]:
    return textured(number, 240, 180)


def crop(number: int) -> NDArray[np.uint8]:
    return picture(number)[20:150, 30:200].copy()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("api") / "photos"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(COUNT)]
    for number, path in enumerate(paths):
        path.write_bytes(png(picture(number)))
    return paths


@pytest.fixture
def memory() -> Iterator[ImageIndex]:
    with ImageIndex.in_memory(Vocabulary.shipped()) as index:
        yield index


def first(result: SearchResult | Failure) -> str:
    assert isinstance(result, SearchResult)
    return result.matches[0].id


@pytest.mark.slow
def test_pictures_come_from_anywhere_and_have_ids(memory: ImageIndex, photos: list[Path]) -> None:
    items: list[tuple[str, Any, dict[str, Any] | None]] = [
        ("a path", photos[0], {"line": 1}),
        ("text", str(photos[1]), None),
        ("bytes", photos[2].read_bytes(), {"line": 2, "parts": ["x", "y"]}),
        ("a file object", io.BytesIO(photos[3].read_bytes()), {}),
        ("pixels", picture(4), None),
        ("schlüssel/\udcff", cv2.cvtColor(picture(5), cv2.COLOR_BGR2GRAY), None),
    ]
    report = memory.add_images(item for item in items)
    assert (report.added, report.failed, len(memory)) == (COUNT, [], COUNT)
    for number, (name, _, metadata) in enumerate(items):
        (match, *_) = memory.search(crop(number), crop=True, k=3).matches
        assert (match.id, match.verified, match.size) == (name, True, (240, 180))
        assert match.metadata == (metadata or {})
        assert (match.path and Path(match.path).samefile(photos[number])) == (number < 2 or "")
        assert match.name == (match.path or name)
        record = memory.record(name)
        assert record is not None and (record.width, record.height) == (240, 180)
        assert (record.file is None) == (number > 1) and record.metadata == (metadata or {})
    assert memory.record("nobody") is None
    assert [record.id for record in memory.records()] == [name for name, *_ in items]


@pytest.mark.slow
def test_what_is_the_same_is_left_alone_and_what_is_not_is_replaced(
    memory: ImageIndex, photos: list[Path]
) -> None:
    items: list[Item] = [
        ("a", picture(0), {"n": 1}),
        ("b", photos[1], None),
        ("c", png(picture(2)), None),
    ]
    assert memory.add_images(items).added == 3
    again = memory.add_images(items)
    assert (again.added, again.changed, again.unchanged) == (0, 0, 3)
    changes: list[Item] = [
        ("a", picture(0), {"n": 2}),  # other metadata
        ("b", picture(1), None),  # the same pixels from elsewhere
        ("c", png(picture(3)), None),  # other content
    ]
    report = memory.add_images(changes)
    assert (report.added, report.changed, report.unchanged, len(memory)) == (0, 3, 0, 3)
    assert memory.search(crop(3), crop=True).matches[0].id == "c"
    assert not memory.search(crop(2), crop=True).matches[0].verified
    assert memory.search(crop(0), crop=True).matches[0].metadata == {"n": 2}


def test_bad_items_are_named_by_id_and_the_rest_goes_on(memory: ImageIndex, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    told: list[Failure] = []
    seen: list[tuple[str, int, int]] = []
    items: list[Item] = [
        ("good", picture(0), None),
        ("garbage", b"no picture at all", None),
        ("empty", tmp_path / "empty.png", None),
        ("blank", np.full((50, 50), 7, np.uint8), None),
        ("absent", tmp_path / "absent.png", None),
        ("shape", np.zeros((2, 2, 2, 2)), None),
    ]
    report = memory.add_images(
        items,
        failure=told.append,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert (report.added, told) == (2, report.failed)
    reasons = {failure.name: failure.reason for failure in told}
    assert "known format" in reasons["garbage"] and "empty" in reasons["empty"]
    assert "no such file" in reasons["absent"]
    assert "shape" in reasons["shape"] and len(reasons) == 4
    (warning,) = report.warnings
    assert warning.name == "blank" and "no features" in warning.reason
    assert seen == [("index", done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (("", picture(0), None), "id"),
        (("a\0b", picture(0), None), "id"),
        (("x" * 5000, picture(0), None), "id"),
        (("half \ud800", picture(0), None), "id"),
        ((7, picture(0), None), "id"),
        (("a", picture(0), {"text": "x" * 4097}), "metadata"),
        (("a", picture(0), {"x": float("nan")}), "metadata"),
        (("a", picture(0), {1: 2}), "metadata"),
        (("a", picture(0), ["x"]), "metadata"),
        (("a", picture(0), {"x": object()}), "metadata"),
        (("a", 7, None), "picture"),
        (("a", io.StringIO("text"), None), "picture"),
        (("a", picture(0)), "items"),
        ("ab", "items"),
    ],
)
def test_items_that_are_none_are_refused(memory: ImageIndex, item: Any, named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        memory.add_images([("before", picture(1), None), item])
    memory.add_images([("after", picture(2), None)])  # the lock is free again


@pytest.mark.slow
def test_images_are_removed_by_id_or_by_path(tmp_path: Path, photos: list[Path]) -> None:
    with ImageIndex.create(tmp_path / "i.bovw", Vocabulary.shipped()) as index:
        index.add_images([(f"part {n}", path, None) for n, path in enumerate(photos[:4])])
        report = index.remove_images(["part 1", "nobody"])
        assert report.removed == 1 and report.failed == [Failure("nobody", "is not in the index")]
        assert index.remove_images("part 0").removed == 1
        assert index.remove(photos[2]).removed == 1
        assert [record.id for record in index.records()] == ["part 3"]
        assert index.remove(photos[0].parent).removed == 1
        assert len(index) == 0


@pytest.mark.slow
def test_metadata_of_files_restrict_a_search(tmp_path: Path, photos: list[Path]) -> None:
    with ImageIndex.create(tmp_path / "i.bovw", Vocabulary.shipped()) as index:
        index.add(photos[:3], metadata={"line": 3, "shift": "day"})
        index.add(photos[3:], metadata={"line": 4})
        everything = index.search(crop(1), crop=True)
        assert everything.matches[0].metadata == {"line": 3, "shift": "day"}
        wanted = index.search(crop(1), crop=True, where={"line": 4}).matches
        assert wanted and all(match.metadata == {"line": 4} for match in wanted)
        same = index.search(crop(1), crop=True, where={"line": "3", "shift": "day"}).matches
        assert (
            same[0].id == everything.matches[0].id and same[0].score == everything.matches[0].score
        )
        assert same[0].log_false_alarms == everything.matches[0].log_false_alarms
        assert index.search(crop(1), where={"line": 5}).matches == []
        photos[0].touch()
        assert index.add(photos[:1], metadata={"shift": "night"}).changed == 1
        found = index.search(crop(0), crop=True).matches[0]
        assert found.metadata == {"line": 3, "shift": "night"}
        photos[0].touch()
        assert index.add(photos[:1]).changed == 1  # what is known of an image stays
        assert index.search(crop(0), crop=True).matches[0].metadata == found.metadata
        with pytest.raises(ParameterError, match="metadata"):
            index.add(photos, metadata={"x": "y" * 5000})


@pytest.mark.slow
def test_metadata_change_in_one_commit(photos: list[Path]) -> None:
    with ImageIndex.in_memory(Vocabulary.shipped()) as index:
        for number in range(3):  # a segment each
            index.add_images([(f"image {number}", str(photos[number]), {"shelf": 1, "row": 2})])
        index.remove_images("image 1")
        before = index.search(photos[2]).matches[0]
        generation = index.info().generation
        changes: dict[str, dict[str, object]] = {
            "image 0": {"kind": "a"},
            "image 2": {"shelf": None, "row": 3},
            "image 1": {"kind": "b"},
        }
        failed = index.describe(changes)
        assert [failure.name for failure in failed] == ["image 1"]
        assert index.info().generation == generation + 1
        assert {each.id: each.metadata for each in index.records()} == {
            "image 0": {"shelf": 1, "row": 2, "kind": "a"},
            "image 2": {"row": 3},
        }
        after = index.search(photos[2]).matches[0]
        assert (after.id, after.score) == (before.id, before.score)
        assert index.describe({"image 0": {"kind": "a"}}) == []
        assert index.info().generation == generation + 1, "nothing has changed"
        with pytest.raises(ParameterError, match="metadata"):
            index.describe({"image 0": {"kind": "a" * 5000}})


def test_a_query_is_the_same_in_whatever_form(memory: ImageIndex, tmp_path: Path) -> None:
    memory.add_images([(str(n), picture(n), None) for n in range(3)])
    (tmp_path / "q.png").write_bytes(png(crop(1)))
    named = io.BytesIO(png(crop(1)))
    named.name = str(tmp_path / "q.png")  # as an opened file has it
    forms: list[tuple[str, Any]] = [
        (str(tmp_path / "q.png"), str(tmp_path / "q.png")),
        (str(tmp_path / "q.png"), tmp_path / "q.png"),
        ("<bytes>", png(crop(1))),
        (str(tmp_path / "q.png"), named),
        ("<file>", io.BytesIO(png(crop(1)))),
        ("<array>", crop(1)),
    ]
    told = []
    for name, form in forms:
        result = memory.search(form, crop=True, k=2)
        assert result.query == name and len(result.matches) == 2
        told.append({**result.to_dict(), "seconds": 0, "query": 0})
    assert all(each == told[0] for each in told)
    for bad in (b"", b"nothing", io.BytesIO(b"")):
        with pytest.raises(ImageError):
            memory.search(bad)
    with pytest.raises(ImageError, match=r"<bytes>.*limit: file_bytes"):
        memory.search(png(crop(1)), limits=Limits(file_bytes=100))
    with pytest.raises(ParameterError, match="picture"):
        memory.search(7)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 2])
def test_many_queries_are_answered_in_order_and_bad_ones_end_nothing(
    tmp_path: Path, photos: list[Path], jobs: int
) -> None:
    with ImageIndex.create(tmp_path / "i.bovw", Vocabulary.shipped()) as index:
        index.add(photos, metadata={"a": 1})
        (tmp_path / "garbage.png").write_bytes(b"garbage")
        queries: list[Any] = [
            crop(4),
            tmp_path / "garbage.png",
            png(crop(2)),
            SearchRequest(str(photos[3]), SearchOptions(k=1)),
            SearchRequest(str(photos[3]), SearchOptions(k=2, mirror=False)),
            SearchRequest(str(photos[3]), box=(500, 0, 10, 10)),
            SearchRequest(crop(5), where={"a": 2}),
            7,
            io.BytesIO(png(crop(1))),
        ]
        asked: list[int] = []

        def asking() -> Iterator[Any]:
            for number, query in enumerate(queries):
                asked.append(number)
                yield query

        results = list(index.search_many(asking(), crop=True, jobs=jobs))
        assert asked == list(range(len(queries))) and len(results) == len(queries)
        found = [Path(first(results[number])).name for number in (0, 2, 3, 4, 8)]
        assert found == ["4.png", "2.png", "3.png", "3.png", "1.png"]
        assert all(isinstance(results[number], Failure) for number in (1, 5, 7))
        assert results[1].name == str(tmp_path / "garbage.png")  # type: ignore[union-attr]
        assert "box" in str(results[5]) and "picture" in str(results[7])
        counts = [len(r.matches) for r in results if isinstance(r, SearchResult)]
        assert counts[2:4] == [1, 2] and counts[4] == 0
        alone = index.search(crop(4), crop=True)
        assert isinstance(results[0], SearchResult)
        assert told(results[0]) == told(alone)


def told(result: SearchResult) -> str:
    """All but the time, as text."""
    return json.dumps({**result.to_dict(), "seconds": {}})


@pytest.mark.slow
def test_answers_that_say_the_same_are_equal_however_long_they_took(memory: ImageIndex) -> None:
    memory.add_images([("a", picture(0), {"line": 3}), ("b", picture(1), None)])
    one, again, other = (memory.search(crop(number), crop=True) for number in (0, 0, 1))
    assert one.matches[0].verified and one.timings != again.timings
    assert one == again and one.matches == again.matches
    assert one != other and one.matches[0] != other.matches[0] and one.matches[0] != "a"
    assert one != replace(one, matches=[replace(one.matches[0], homography=np.eye(3))])


@pytest.mark.slow
def test_many_queries_are_taken_as_answers_are_used_up(memory: ImageIndex) -> None:
    memory.add_images([("a", picture(0), None)])
    taken: list[int] = []

    def endless() -> Iterator[NDArray[np.uint8]]:
        while True:
            taken.append(len(taken))
            yield crop(0)

    answers = memory.search_many(endless())
    for _ in range(3):
        assert first(next(answers)) == "a"
    assert len(taken) <= 4


@pytest.mark.slow
def test_an_index_in_memory_answers_in_processes_too(memory: ImageIndex) -> None:
    memory.add_images([(str(number), picture(number), None) for number in range(3)])
    found = list(memory.search_many([crop(number) for number in range(3)], crop=True, jobs=1))
    assert [first(result) for result in found] == ["0", "1", "2"]


@pytest.mark.slow
def test_an_index_in_memory_is_an_index(memory: ImageIndex, photos: list[Path]) -> None:
    searcher: Searcher = memory
    assert len(searcher) == 0 and memory.search(crop(0)).matches == []
    assert memory.add(photos, jobs=1).added == COUNT
    info = memory.info()
    assert info.image_count == COUNT and info.size_bytes > 10_000 and info.generation == 2
    memory.remove(photos[0])
    memory.merge()
    assert len(list(memory.records())) == COUNT - 1 and memory.info().segment_count == 1
    assert Path(memory.search(crop(1), crop=True).matches[0].path).samefile(photos[1])
    with memory._storage.lock():
        with pytest.raises(IndexLockedError):
            memory.add(photos)
        waiting = threading.Thread(target=memory.add, args=([photos[0]],), kwargs={"wait": True})
        waiting.start()
    waiting.join()
    assert len(memory) == COUNT


CLOSED: dict[str, Callable[[ImageIndex], object]] = {
    "search": lambda index: index.search(crop(0)),
    "search_many": lambda index: index.search_many([crop(0)]),
    "add": lambda index: index.add([]),
    "add_images": lambda index: index.add_images([]),
    "remove": lambda index: index.remove([]),
    "remove_images": lambda index: index.remove_images([]),
    "merge": lambda index: index.merge(),
    "upgrade": lambda index: index.upgrade(),
    "refresh": lambda index: index.refresh(),
    "info": lambda index: index.info(),
    "records": lambda index: index.records(),
    "record": lambda index: index.record("a"),
    "len": len,
    "spec": lambda index: index.spec,
    "picture_root": lambda index: index.picture_root,
    "require": lambda index: index.require(max_side=7),
}


@pytest.mark.parametrize("what", CLOSED)
def test_a_closed_index_raises(memory: ImageIndex, what: str) -> None:
    memory.add_images([("a", picture(0), None)])
    memory.close()
    memory.close()
    with pytest.raises(IndexClosedError, match="closed"):
        CLOSED[what](memory)


@pytest.mark.slow
def test_open_or_create(tmp_path: Path, photos: list[Path]) -> None:
    path = tmp_path / "i.bovw"
    with ImageIndex.open_or_create(path, max_side=512) as index:
        index.add(photos[:2])
    with ImageIndex.open_or_create(path) as index:
        assert len(index) == 2 and index.spec.max_side == 512
    with pytest.raises(IncompatibleError, match="max_side 512, asked for is 256"):
        ImageIndex.open_or_create(path, max_side=256)
    with pytest.raises(IncompatibleError, match="orb"):
        ImageIndex.open_or_create(path, Vocabulary.shipped("orb"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").write_text("mine")
    with pytest.raises(IndexExistsError):
        ImageIndex.open_or_create(tmp_path / "full")


@pytest.mark.parametrize(
    "box", [(100, 100, 200, 200), [1, 2, 3], (1.0, 2, 3, 4), "1,2,3,4", None, (0, 0, 0, 5)]
)
def test_a_box_is_four_whole_numbers_in_whatever_they_come(memory: ImageIndex, box: Any) -> None:
    memory.add_images([("a", picture(0), None)])
    for good in ((20, 20, 150, 120), [20, 20, 150, 120], np.array([20, 20, 150, 120], np.uint8)):
        result = memory.search(picture(0), crop=True, box=good)  # type: ignore[arg-type]
        assert result.box == (20, 20, 150, 120) and result.matches[0].verified
    if box is not None:
        with pytest.raises(ParameterError, match="box"):
            memory.search(picture(0), box=box)


def test_what_a_match_says_is_json(memory: ImageIndex) -> None:
    memory.add_images([("a", picture(0), {"b": [1]}), ("c", picture(1), None)])
    result = memory.search(crop(0), crop=True)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(told) == {"query", "features", "seconds", "matches"}
    best, *_ = told["matches"]
    assert (best["rank"], best["image"], best["id"], best["metadata"]) == (1, "a", "a", {"b": [1]})
    assert best["verified"] and len(best["outline"]) == 4 and len(best["homography"]) == 9
    assert best == {"rank": 1, **result.matches[0].to_dict()}


@pytest.mark.slow
def test_answers_that_say_the_same_are_equal(memory: ImageIndex) -> None:
    memory.add_images([("a", picture(0), {"n": 1}), ("b", picture(1), None)])
    first, again, other = (memory.search(crop(n), crop=True) for n in (0, 0, 1))
    assert first == again and first.timings != again.timings
    assert first != other and first.matches[0] != other.matches[0]
    moved = replace(again.matches[0], outline=np.zeros((4, 2)))
    assert first != replace(again, matches=[moved, *again.matches[1:]])
    assert moved != replace(moved, outline=None) != moved and moved != 7


@pytest.mark.slow
def test_what_would_look_like_a_no_says_why(memory: ImageIndex) -> None:
    assert memory.search(crop(0)).note == "the index has no images"
    memory.add_images([("a", picture(0), {"line": 3})])
    assert memory.search(crop(0), crop=True).note == ""
    assert memory.search(crop(0), where={"lin": 3}).to_dict()["note"].startswith("no image has")
    blank = np.full((100, 100), 9, np.uint8)
    (answer,) = memory.search_many([blank])
    assert isinstance(answer, SearchResult) and answer.note.startswith("no features")
    assert "has no features" in compare_pictures(picture(0), png(blank)).notes[1]
    assert compare_pictures(picture(0), crop(0)).notes == ("", "")


@pytest.mark.slow
def test_pictures_that_were_to_be_looked_at_and_are_gone_are_named(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(png(picture(7)))
    with ImageIndex.in_memory() as index:
        index.add(tmp_path)
        options = [SearchOptions(sisters=True), SearchOptions(thorough="always")]
        assert [index.search(crop(7), each).note for each in options] == ["", ""]
        for number in range(2):
            (tmp_path / f"{number}.png").unlink()
        seen = index.search(crop(7), options[0])
        assert seen.matches[0].sisters is None and "and 1 more" in seen.note
        seen = index.search(picture(8), options[1])
        assert not seen.matches[0].verified and "not looked at" in seen.note
