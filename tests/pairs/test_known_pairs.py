"""What is kept of a run comes back, or nothing does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bovw.pairs.evidence import Evidence
from bovw.pairs.known_pairs import KnownPairs, load_pairs, save_pairs, unasked
from bovw.pairs.overlay import Resemblance
from bovw.storage.memory import MemoryStorage


def contents_of(*numbers: int) -> NDArray[np.void]:
    rows = np.zeros((len(numbers), 32), np.uint8)
    rows[:, 0] = numbers
    return rows.view(np.dtype((np.void, 32))).ravel()


PAIRS = [
    Evidence(
        2, 0, np.arange(9.0).reshape(3, 3), 30, 0.5, -70.5, 0.2, 4, Resemblance(0.99, 0.999, 2.5)
    ),
    Evidence(1, 0, np.eye(3), 0, 0.0, 0.0, 0.0, 64, None),
]


def known() -> KnownPairs:
    return KnownPairs(contents_of(7, 8, 9), PAIRS)


def as_texts(pairs: list[Evidence]) -> list[str]:
    return [repr(pair) for pair in pairs]


def test_pairs_come_back() -> None:
    storage = MemoryStorage()
    assert load_pairs(storage, "words", "a") is None
    assert save_pairs(storage, "words", "a", known())
    assert save_pairs(storage, "words", "a", known())  # in place of the one before
    found = load_pairs(storage, "words", "a")
    assert found
    assert as_texts(found.pairs) == as_texts(PAIRS)
    assert found.contents.tobytes() == known().contents.tobytes()
    assert load_pairs(storage, "words", "b") is None
    assert load_pairs(storage, "vectors", "a") is None
    assert storage.names() == ["duplicates-words.npz"]


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.9])
def test_a_damaged_file_is_none(where: float) -> None:
    storage = MemoryStorage()
    save_pairs(storage, "words", "a", known())
    content = storage.read("duplicates-words.npz")
    cut = int(where * len(content))
    for damaged in (content[:cut], content[:cut] + b"\xff\x00\xfe" + content[cut + 3 :]):
        storage.remove("duplicates-words.npz")
        storage.write("duplicates-words.npz", damaged)
        found = load_pairs(storage, "words", "a")
        assert found is None or as_texts(found.pairs) == as_texts(PAIRS)


def test_pairs_of_images_that_are_not_there_are_none() -> None:
    storage = MemoryStorage()
    save_pairs(storage, "words", "a", KnownPairs(contents_of(7, 8), PAIRS))
    assert load_pairs(storage, "words", "a") is None


@given(
    st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(0, 9), unique=True, max_size=8)
)
def test_an_image_is_asked_unless_all_before_it_were_before_it_then(
    now: list[int], then: list[int]
) -> None:
    flags = unasked(contents_of(*now), contents_of(*then)).tolist()
    for number, image in enumerate(now):
        before_then = set(then[: then.index(image)]) if image in then else set()
        assert flags[number] == (image not in then or not set(now[:number]) <= before_then)
