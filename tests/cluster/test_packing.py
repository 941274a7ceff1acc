"""What travels to a shard is what was asked, to the last bit, in fewer bytes."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bovw import FeatureSpec, SearchOptions, Vocabulary
from bovw.answers.expansion import joined
from bovw.answers.thorough import attempts
from bovw.cluster.packing import PIECE, pack, unpack
from bovw.features.encoding import EncodedImage
from bovw.features.local import extract
from bovw.features.training import build
from bovw.pictures.reading import picture_from_array
from bovw.search.query import Variant, encode_variants, extract_query
from tests.helpers.pictures import textured


def require_same(found: list[Variant], sent: list[Variant]) -> None:
    """All that variants say, bytes and types of arrays included."""
    assert len(found) == len(sent)
    for one, other in zip(found, sent, strict=True):
        assert (one.box, one.mirrored, one.negative) == (other.box, other.mirrored, other.negative)
        assert one.matrix.tobytes() == other.matrix.tobytes()
        for each in fields(EncodedImage):
            here, there = (getattr(side.encoded, each.name) for side in (one, other))
            if isinstance(here, np.ndarray):
                assert (here.dtype, here.shape) == (there.dtype, there.shape)
                assert here.tobytes() == there.tobytes()
            else:
                assert here == there


def sent_and_back(variants: list[Variant], word_count: int) -> list[bytes]:
    """The pieces of a query that arrives as it was."""
    outlines, pieces = pack(variants, word_count)
    assert all(len(piece) <= PIECE for piece in pieces)
    there = pickle.loads(pickle.dumps(outlines)), pickle.loads(pickle.dumps(pieces))
    require_same(unpack(*there, word_count), variants)
    return pieces


@pytest.mark.parametrize("kind", ["rootsift", "orb"])
def test_all_ways_to_ask_arrive_as_they_were(kind: str) -> None:
    spec, options = FeatureSpec(kind, 80, 256), SearchOptions(words_per_feature=3)
    picture = textured(3, 160, 120)
    features = extract(picture_from_array(picture, 256), spec)
    vocabulary = build(features.descriptors, 40, spec, 0)[0]
    query = extract_query(picture, spec, box=(10, 5, 120, 100))
    sent_and_back(encode_variants(query, vocabulary, options), 40)
    for attempt in attempts(query, vocabulary, spec, options):
        sent_and_back(attempt.variants(), 40)


def test_a_query_and_its_mirror_image_take_45_bytes_a_feature(vocabulary: Vocabulary) -> None:
    spec = FeatureSpec("rootsift", 2000, 1024)
    query = extract_query(textured(3), spec)
    variants = encode_variants(query, vocabulary, SearchOptions())
    assert len(query.features) > 1000
    size = sum(map(len, sent_and_back(variants, len(vocabulary))))
    assert size <= 45 * 2 * len(query.features)


@settings(max_examples=20)
@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from([40, 1 << 16, 1 << 20]), st.booleans())
def test_expanded_queries_and_large_vocabularies(
    own: int, added: int, word_count: int, mirrored: bool
) -> None:
    """The features of an expansion have one word, beside which there are none."""
    rng = np.random.default_rng(own + added)

    def encoded(count: int, words: int) -> EncodedImage:
        return EncodedImage(
            words=rng.integers(0, word_count, (count, words), dtype=np.int32),
            signatures=rng.integers(0, 1 << 63, (count, words), dtype=np.uint64),
            xy=rng.normal(50, 20, (count, 2)).astype(np.float32),
            scale=rng.random(count, np.float32),
            angle=rng.random(count, np.float32),
            size=(99, 77),
            box=(3, 4, 90, 60),
        )

    one = Variant(joined([encoded(own, 4), encoded(added, 1)]), (3, 4, 90, 60), np.eye(3))
    other = Variant(joined([encoded(own, 4), encoded(0, 1)]), (3, 4, 90, 60), np.eye(3), mirrored)
    sent_and_back([one, other, replace(one, negative=True)], word_count)
