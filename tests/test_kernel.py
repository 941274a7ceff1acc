"""The compiled loops say what NumPy says, to the bit, and nothing is missing without them."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw import Vocabulary, kernel
from bovw.features.local import extract
from bovw.features.word_search import WordSearch
from bovw.geometry.verification import Implied, Tolerances
from bovw.pictures.reading import load_picture
from tests.helpers.command import run
from tests.helpers.compiled import plain_library
from tests.helpers.matching import joined, matches_through, similarity

PHOTOS = Path(__file__).parent / "fixtures" / "photos"
compiled = pytest.mark.skipif(not kernel.is_there(), reason="bovw was built without a C compiler")
LOAD, INSTALLED = kernel.library, kernel.library()


@pytest.fixture(scope="module", params=["installed", "plain"])
def library(request: pytest.FixtureRequest) -> Iterator[ctypes.CDLL]:
    if INSTALLED is None:
        pytest.skip("bovw was built without a C compiler")
    found = INSTALLED if request.param == "installed" else plain_library()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "library", lambda: found)
        yield found


def without_kernel(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kernel, "library", lambda: None)


def test_where_there_is_a_compiler_the_kernel_is_built() -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C compiler ({compiler})")
    assert kernel.is_there(), "pip install again: the sources are newer than the compiled file"


@pytest.mark.usefixtures("library")
@given(
    sizes=st.lists(st.integers(0, 39), min_size=1, max_size=6).filter(lambda all: sum(all) > 0),
    points=st.integers(0, 300),
    dimension=st.sampled_from([6, 8]),
    # of the words, and of the points: some do not fit in 8 bits
    spread=st.sampled_from([(1, 1), (3, 3), (255, 255), (255, 260), (300, 200)]),
    seed=st.integers(0, 1000),
)
def test_nearest_words(
    sizes: list[int], points: int, dimension: int, spread: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def drawn(count: int, highest: int) -> NDArray[np.float32]:
        return rng.integers(0, highest + 1, (count, dimension)).astype(np.float32)

    cells = [drawn(size, spread[0]) for size in sizes]
    centres, queries = drawn(len(sizes), spread[0]), drawn(points, spread[1])
    finer, count = int(rng.integers(1, 4)), int(rng.integers(1, min(sum(sizes), 5) + 1))
    with pytest.MonkeyPatch.context() as patch:
        # whether it is faster or not
        patch.setattr(kernel, "likes_narrow_words", lambda: True)
        search = WordSearch(lambda: cells, centres, finer)
        assert (search.narrow is not None) == (dimension == 8 and spread[0] < 256)
        ours = search.nearest(queries, count, len(sizes))
        without_kernel(patch)
        theirs = WordSearch(lambda: cells, centres, finer).nearest(queries, count, len(sizes))
    assert np.array_equal(ours, theirs)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("kind", ["rootsift", "orb"])
def test_words_and_signatures_of_a_picture(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = Vocabulary.shipped(kind)
    spec = vocabulary.spec
    features = extract(load_picture(sorted(PHOTOS.iterdir())[0], spec.max_side), spec)
    descriptors = np.asfortranarray(features.descriptors)  # as those of mirrored features lie
    words = vocabulary.nearest(descriptors, 4, 6)
    signatures = vocabulary.signatures(descriptors, words)
    without_kernel(monkeypatch)
    plain = Vocabulary.shipped(kind)
    assert np.array_equal(plain.nearest(descriptors, 4, 6), words)
    assert np.array_equal(plain.signatures(descriptors, words), signatures)


@pytest.mark.usefixtures("library")
@given(
    lengths=st.lists(st.integers(0, 40), max_size=30),
    limit=st.integers(0, 64),
    seed=st.integers(0, 1000),
)
def test_close_postings(lengths: list[int], limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    postings = rng.integers(0, 1 << 64, 500, np.uint64)
    sizes = np.array(lengths, np.int64)
    starts = rng.integers(0, 500 - 40, len(sizes))
    own = postings[starts] ^ (np.uint64(1) << rng.integers(0, 64, len(sizes), np.uint64))
    expected = [
        (number, posting, (int(postings[posting]) ^ int(own[number])).bit_count())
        for number, (start, size) in enumerate(zip(starts.tolist(), lengths, strict=True))
        for posting in range(start, start + size)
    ]
    expected = [each for each in expected if each[2] <= limit]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "ROOM", 1)  # less than most find
        found = kernel.close_postings(postings, starts, sizes, own, limit)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


@pytest.mark.usefixtures("library")
@given(seed=st.integers(0, 1000), good=st.integers(3, 60), bad=st.integers(0, 600))
def test_supports(seed: int, good: int, bad: int) -> None:
    turns = np.random.default_rng(seed).uniform(-3, 3, 2)
    matches = joined(
        [matches_through(similarity(1.3, turn), seed, good=good, bad=bad) for turn in turns]
    )
    tolerances = Tolerances()
    starts = matches.starts()
    sizes = np.minimum(np.diff(starts), tolerances.matches)
    seeds = np.concatenate([start + np.arange(3) for start in starts[:-1]])
    implied = Implied.of(matches, tolerances)
    ours = implied.supports(matches, seeds, starts, sizes)
    with pytest.MonkeyPatch.context() as patch:
        without_kernel(patch)
        theirs = implied.supports(matches, seeds, starts, sizes)
    assert np.array_equal(ours, theirs) and ours.max() > 0


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rootsift", "orb"])
def test_an_index_and_its_answers_are_the_same_without_it(kind: str, tmp_path: Path) -> None:
    answers = []
    for kernel_wanted in ("1", "0"):
        folder = tmp_path / kernel_wanted
        shutil.copytree(PHOTOS, folder / "photos", copy_function=shutil.copy2)
        env = {"BOVW_KERNEL": kernel_wanted}
        made = run("index", "photos", "--features", kind, cwd=folder, env=env)
        assert made.returncode == 0
        asked = run(
            "search",
            "--crop",
            "--json",
            *sorted((folder / "photos").iterdir())[:3],
            cwd=folder,
            env=env,
        )
        lines = [json.loads(line)["matches"] for line in asked.stdout.splitlines()]
        assert len(lines) == 3 and all(each[0]["verified"] for each in lines)
        answers.append(json.dumps(lines).replace(str(folder), ""))
    if kind == "rootsift":
        # OpenCV finds the features then, nearly the same ones
        first = [[each[0]["image"].rpartition("/")[2] for each in json.loads(a)] for a in answers]
        assert first[0] == first[1]
        return
    assert answers[0] == answers[1]
    files = [
        {path.relative_to(tmp_path / name): path for path in (tmp_path / name).rglob("*.npy")}
        for name in ("1", "0")
    ]
    ours = sorted(path.read_bytes() for path in files[0].values())
    assert ours == sorted(path.read_bytes() for path in files[1].values())


def test_a_compiled_file_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "VERSION", kernel.VERSION + 1)
    LOAD.cache_clear()
    try:
        assert LOAD() is None
    finally:
        LOAD.cache_clear()


@compiled
@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system cannot be told to forget")
def test_only_what_is_not_in_memory_is_read_ahead(tmp_path: Path) -> None:
    file = tmp_path / "numbers.npy"
    np.save(file, np.arange(1 << 18, dtype=np.uint64))
    numbers = np.load(file, mmap_mode="r")
    starts = np.arange(0, len(numbers) - 100, 5000)
    lengths = np.full(len(starts), 100)
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    kernel.read_ahead(numbers, starts, lengths)  # whether they are gone is for the system to say
    assert numbers[starts + 99].tolist() == (starts + 99).tolist()
    assert not kernel.read_ahead(numbers, starts, lengths)
    assert not kernel.read_ahead(numbers, starts[:0], lengths[:0])
    assert not kernel.read_ahead(numbers[::2], starts // 2)
