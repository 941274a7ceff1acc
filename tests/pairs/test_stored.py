"""Stored images as queries: what comes out of an index is what went in."""

from __future__ import annotations

import numpy as np
import pytest

from bovw import ImageIndex, Vocabulary
from bovw.features.encoding import encode, encode_mirrored
from bovw.features.local import extract, mirror
from bovw.pairs import stored
from bovw.pairs.stored import mirrored_encoding, stored_encodings
from bovw.pictures.reading import load_picture
from tests.helpers.pictures import textured


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return Vocabulary.shipped()


@pytest.mark.parametrize("pass_cost", [0.0, 1e9])
def test_encodings_are_those_of_the_pictures(
    words: Vocabulary, pass_cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether postings are gone through once for all images, or for each of them."""
    monkeypatch.setattr(stored, "PASS_COST", pass_cost)
    monkeypatch.setattr(stored, "BLOCK", 100)
    pictures = [textured(seed, 160, 120) for seed in range(5)]
    with ImageIndex.in_memory(words) as index:
        for part in (slice(0, 3), slice(3, 5)):  # two segments
            numbers = range(5)[part]
            index.add_images([(str(number), pictures[number], None) for number in numbers])
        index.remove_images(["1"])
        found = stored_encodings(index._snapshot, np.array([4, 0, 2, 3, 0]))
        spec = index.spec
    assert sorted(found) == [0, 2, 3, 4]
    for number, encoding in found.items():
        features = extract(load_picture(pictures[number], spec.max_side), spec)
        expected = encode(features, words)
        assert np.array_equal(encoding.words, expected.words)
        assert np.array_equal(encoding.signatures, expected.signatures)
        assert np.abs(encoding.xy - expected.xy).max() < 0.01
        assert np.abs(np.log(encoding.scale / expected.scale)).max() < 0.02
        turned = np.exp(1j * (encoding.angle - expected.angle))
        assert np.abs(np.angle(turned)).max() < 0.02
        assert encoding.size == (160, 120)


def test_a_mirrored_signature_is_close_to_the_true_one(words: Vocabulary) -> None:
    """A third of the bits is as good as random: some 20 of 64 differ, of which a match allows 23;
    of those of another feature, half would.
    """
    picture = load_picture(textured(0, 320, 240), 1024)
    features = extract(picture, words.spec)
    original = encode(features, words)
    found = mirrored_encoding(original, words)
    expected = encode_mirrored(mirror(features, picture, words.spec), original, words)
    assert found
    assert np.array_equal(found.words, expected.words)
    assert np.abs(found.xy - expected.xy).max() < 1e-3
    assert np.abs(np.angle(np.exp(1j * (found.angle - expected.angle)))).max() < 1e-3
    bits = np.bitwise_count(found.signatures ^ expected.signatures)
    assert (len(bits) > 100, bits.mean() < 22) == (True, True)
