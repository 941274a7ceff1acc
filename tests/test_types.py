"""Whatever is given for whatever parameter of the library: it works, or raises an error of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bovw import (
    BovwError,
    FeatureSpec,
    ImageIndex,
    Limits,
    ParameterError,
    SearchOptions,
    SearchRequest,
    Vocabulary,
    check_index,
    cluster_images,
    compare_pictures,
    draw_match,
    map_images,
    read_queries,
    save_picture,
    train_vocabulary,
)
from tests.helpers.pictures import textured

# Each of them is of a kind that someone passes by mistake.
ODD: list[Any] = [None, True, -1, 3.0, float("nan"), 10**30, "x", "", b"x", [], [None], {"a": 1}]
ODD += [np.int8(3), np.zeros(3), object(), "\0"]
PIXELS = textured(1, 80, 60)
# Every function, what it is called with that is right, and what is wrong in turn.
Call = tuple[Callable[..., Any], dict[str, Any]]


def calls(index: ImageIndex, vocabulary: Vocabulary, photo: Path) -> Iterator[Call]:
    nobody = {"wait": False, "dry_run": True}
    run = {"limits": Limits(), "progress": None, "failure": None, "stop": None}
    yield index.search, dict.fromkeys(("options", "crop", "k", "box", "where")) | {"query": PIXELS}
    yield index.record, {"name": "a"}
    yield index.add, {"paths": photo, "metadata": None, "batch": 1, "exclude": (), **run, **nobody}
    yield index.add_images, {"items": [], "batch": 1, "wait": False, **run}
    yield index.remove, {"paths": "nothing", **nobody}
    yield index.remove_images, {"ids": "nothing", **nobody}
    yield index.relocate, {"old": "nothing", "new": photo, "wait": False}
    yield index.merge, {"wait": False}
    yield index.upgrade, nobody
    yield index.describe, {"metadata": {"a": {"kind": "board"}}, "wait": False}
    ways = {"count": None, "distance": None, "confident": False, "least": 2}
    yield partial(cluster_images, index), {"by": "colour", **ways}
    laid_out = {"method": "tsne", "neighbours": None, "progress": None}
    yield partial(map_images, index), {"by": "colour", **laid_out}
    yield ImageIndex.in_memory, {"vocabulary": vocabulary, "max_features": 9, "max_side": 99}
    yield ImageIndex.open, {"path": "absent.bovw", "picture_root": None}
    yield FeatureSpec, {"kind": "orb", "max_features": 9, "max_side": 99}
    yield Limits, vars(Limits())
    yield SearchOptions, vars(SearchOptions())
    yield Vocabulary.shipped, {"kind": "orb"}
    yield Vocabulary.load, {"path": "absent"}
    yield check_index, {"path": "absent.bovw"}
    yield read_queries, {"table": "absent.tsv", "images": None}
    yield save_picture, {"path": photo.with_name("out.png"), "pixels": np.zeros((8, 8, 3), "u1")}
    pair = {"first": PIXELS, "second": PIXELS, "vocabulary": vocabulary}
    yield compare_pictures, {**pair, "tolerance": 2, "mirror_too": True, "false_alarms": 0.01}
    settings = {"words": 50, "spec": None, "seed": 0, "max_descriptors": 99}
    yield train_vocabulary, {"images": [], **settings}
    yield partial(asked, index), {"query": PIXELS, "options": SearchOptions(), "box": None}


def asked(index: ImageIndex, **request: Any) -> None:
    list(index.search_many([SearchRequest(**request)]))


def test_an_odd_value_works_or_is_one_of_our_errors(
    vocabulary: Vocabulary, tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "photo.png"
    photo.write_bytes(photos[0].read_bytes())
    with ImageIndex.in_memory(vocabulary) as index:
        index.add_images([("a", PIXELS, None)])
        faults = []
        for function, right in calls(index, vocabulary, photo):
            for name in right:
                for odd in ODD:
                    if name == "vocabulary" and odd is None:
                        continue  # the shipped one is meant
                    try:
                        function(**{**right, name: odd})
                    except BovwError:
                        continue
                    except Exception as error:
                        faults.append((function, name, odd, error))
        assert faults == []


def test_a_number_is_no_picture_though_the_system_has_a_file_of_it(
    vocabulary: Vocabulary,
) -> None:
    with ImageIndex.in_memory(vocabulary) as index:
        index.add_images([("a", PIXELS, None)])
        match = index.search(PIXELS).matches[0]
    read, write = os.pipe()
    with pytest.raises(ParameterError, match="picture"):
        draw_match(read, PIXELS, match)  # type: ignore[arg-type]
    os.close(read)
    os.close(write)


def test_what_numpy_gives_is_a_box(vocabulary: Vocabulary) -> None:
    with ImageIndex.in_memory(vocabulary) as index:
        index.add_images([("a", PIXELS, None)])
        box = np.array([10, 5, 60, 50], np.uint8)  # 10 + 60 fits, and so does 255 + 1 elsewhere
        assert index.search(PIXELS, box=box).box == (10, 5, 60, 50)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="box"):
            index.search(PIXELS, box=np.array([200, 5, 200, 50], np.uint8))  # type: ignore[arg-type]
