"""Segments: what is written comes back, merging equals writing in one go, and scans equal brute
force.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bovw import kernel
from bovw.arrays import list_blocks
from bovw.errors import IndexCorruptError
from bovw.features.encoding import EncodedImage
from bovw.features.local import FeatureSpec
from bovw.index import segment as segments
from bovw.index.manifest import Manifest
from bovw.index.record import FileStamp, ImageRecord
from bovw.index.segment import LiveSegment, Segment, id_hashes
from bovw.index.segment_writer import IndexedImage, merge_segments, write_segment
from bovw.index.snapshot import Snapshot
from bovw.search import postings
from bovw.search import scan as scanning
from bovw.search.collection import Collection
from bovw.search.postings import close_postings
from bovw.search.weighting import votes
from bovw.storage.directory import Directory

WORDS = 50


def image(seed: int, features: int) -> IndexedImage:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(50, 4000)), int(rng.integers(50, 4000)))
    encoded = EncodedImage(
        words=rng.integers(0, WORDS, (features, 1), np.int32),
        signatures=rng.integers(0, 2**64, (features, 1), np.uint64),
        xy=(rng.random((features, 2)) * size - 0.5).astype(np.float32),
        scale=np.exp(rng.uniform(0.5, 5, features)).astype(np.float32),
        angle=rng.uniform(0, 2 * np.pi, features).astype(np.float32),
        size=size,
        box=(0, 0, *size),
    )
    name = f"näme\n{seed}\udcff.jpg"
    file = FileStamp(name, seed, seed * 7)
    return IndexedImage(ImageRecord(name, *size, f"{seed:064x}", file), encoded)


def written(directory: Directory, name: str, images: list[IndexedImage]) -> Segment:
    return Segment(directory, write_segment(directory, name, images, WORDS), WORDS)


def content(root: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "segments" / name).iterdir()}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    images = [image(seed, count) for seed, count in enumerate((30, 1, 200))]
    segment = written(directory, "a", images)
    assert [segment.record(ordinal) for ordinal in range(3)] == [each.record for each in images]
    wanted, found = segment.with_hashes(
        id_hashes(["absent", images[2].record.id, images[0].record.id])
    )
    assert (wanted.tolist(), found.tolist()) == ([1, 2], [2, 0])
    everything = sorted(
        (int(word), number, int(signature))
        for number, encoded in enumerate(each.encoded for each in images)
        for word, signature in zip(encoded.words[:, 0], encoded.signatures[:, 0], strict=True)
    )
    word, feature = segment.read_postings(0, WORDS)
    assert (
        sorted(
            zip(
                word.tolist(),
                segment.image_of(feature).tolist(),
                segment.posting_signatures.tolist(),
                strict=True,
            )
        )
        == everything
    )
    for number, encoded in enumerate(each.encoded for each in images):
        features = np.arange(segment.feature_starts[number], segment.feature_starts[number + 1])
        place, scale, angle = segment.geometry(features, np.full(len(features), number))
        side = max(encoded.size)
        assert np.abs(place - (encoded.xy[:, 0] + 1j * encoded.xy[:, 1])).max() < side / 65_535
        assert np.abs(np.log(scale / encoded.scale)).max() < 0.017
        assert np.abs(np.angle(np.exp(1j * (angle - encoded.angle)))).max() < 0.0124
    documents = np.zeros(WORDS, int)
    for encoded in (each.encoded for each in images):
        documents[np.unique(encoded.words)] += 1
    np.testing.assert_array_equal(segment.document_frequencies, documents)
    np.testing.assert_array_equal(segment.documents_of(np.ones(3, bool)), documents)


@pytest.mark.slow
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_merging_equals_writing_the_kept_images_in_one_go(
    tmp_path_factory: pytest.TempPathFactory, plan: list[list[tuple[int, bool]]]
) -> None:
    root = tmp_path_factory.mktemp("merge")
    directory = Directory(root)
    kept, live_segments, seed = [], [], 0
    for number, batch in enumerate(plan):
        images = []
        for features, keep in batch:
            images.append(image(seed, features))
            if keep:
                kept.append(images[-1])
            seed += 1
        segment, alive = (
            written(directory, f"part{number}", images),
            np.array([keep for _, keep in batch]),
        )
        live_segments.append(LiveSegment(segment, alive, segment.documents_of(alive)))
    if not kept:
        return
    merge_segments(directory, "merged", live_segments, WORDS)
    write_segment(directory, "whole", kept, WORDS)
    assert content(root, "merged") == content(root, "whole")


@pytest.mark.parametrize(
    "file", ["places", "word_counts", "feature_starts", "images.jsonl", "segment.json"]
)
def test_missing_and_foreign_files_are_corruption(tmp_path: Path, file: str) -> None:
    directory = Directory(tmp_path)
    entry = write_segment(directory, "a", [image(1, 5), image(2, 9)], WORDS)
    path = tmp_path / "segments" / "a" / (file if "." in file else f"{file}.npy")
    path.write_bytes(b"")
    with pytest.raises(IndexCorruptError, match=path.name):
        Segment(directory, entry, WORDS)
    path.unlink()
    with pytest.raises(IndexCorruptError, match="missing"):
        Segment(directory, entry, WORDS)


@pytest.mark.parametrize(("long_list", "tiny_list"), [(0, 0), (10_000, 0), (10_000, 10_000)])
@pytest.mark.parametrize("block", [7, 100, 1_000_000])
def test_the_scan_finds_what_brute_force_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, long_list: int, tiny_list: int
) -> None:
    # the compiled loop has a test of its own
    monkeypatch.setattr(kernel, "library", lambda: None)
    monkeypatch.setattr(postings, "LONG_LIST", long_list)
    monkeypatch.setattr(postings, "TINY_LIST", tiny_list)
    monkeypatch.setattr(postings, "BLOCK", block)
    directory = Directory(tmp_path)
    segment = written(directory, "a", [image(seed, 150) for seed in range(6)])
    rng = np.random.default_rng(5)
    words = np.sort(rng.integers(0, WORDS, 80))
    signatures = rng.choice(np.asarray(segment.posting_signatures), 80) ^ (
        np.uint64(1) << rng.integers(0, 64, 80, np.uint64)
    )
    expected = set()
    for slot, (word, signature) in enumerate(zip(words.tolist(), signatures.tolist(), strict=True)):
        for posting in range(segment.word_starts[word], segment.word_starts[word + 1]):
            distance = (int(segment.posting_signatures[posting]) ^ signature).bit_count()
            if distance <= postings.MATCH_DISTANCE:
                expected.add((slot, posting, distance))
    found = close_postings(segment, words, signatures)
    triples = list(zip(*(live.tolist() for live in found), strict=True))
    assert len(triples) == len(set(triples)) > 0 and set(triples) == expected


@pytest.mark.slow
@given(st.lists(st.sampled_from([1, 2, 100, 255, 256, 257, 700]), min_size=1, max_size=40))
def test_the_image_of_each_feature_is_known_however_small_the_images_are(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        segment = written(
            Directory(folder), "a", [image(seed, size) for seed, size in enumerate(sizes)]
        )
    np.testing.assert_array_equal(
        segment.image_of(np.arange(segment.feature_count)), np.repeat(np.arange(len(sizes)), sizes)
    )


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 500])
def test_votes_are_the_best_of_each_feature_whatever_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(scanning, "CHUNK", chunk)
    monkeypatch.setattr(scanning, "LEAST_SCANNED", chunk)  # and with threads
    directory = Directory(tmp_path)
    images = [image(seed, 150) for seed in range(8)]
    live_segments = [
        LiveSegment(
            written(directory, name, images[low : low + 4]), np.arange(4) != 1, np.full(WORDS, 3)
        )
        for name, low in (("a", 0), ("b", 4))
    ]
    snapshot = Snapshot(Manifest(1, FeatureSpec(), ""), live_segments, WORDS)
    collection = Collection(snapshot)
    rarity = collection.statistics.idf
    queries = [near_copy(images[2].encoded, 1), near_copy(images[7].encoded, 2)]
    expected = np.zeros(16)
    for variant, query in enumerate(queries):
        for number, encoded in enumerate(each.encoded for each in images):
            for words, signatures in zip(
                query.words.tolist(), query.signatures.tolist(), strict=True
            ):
                pairs = itertools.product(
                    zip(words, signatures, strict=True),
                    zip(
                        encoded.words[:, 0].tolist(), encoded.signatures[:, 0].tolist(), strict=True
                    ),
                )
                close = [
                    (word, (one ^ other).bit_count())
                    for (word, one), (same, other) in pairs
                    if word == same
                ]
                best = [
                    votes(rarity[[word]], np.array([far]), scanning.SIGMA)[0]
                    for word, far in close
                    if far <= postings.MATCH_DISTANCE
                ]
                expected[variant * 8 + number] += max(best, default=0.0) * snapshot.alive[number]
    table = scanning.VoteTable(collection, queries, scanning.scan(collection, queries))
    np.testing.assert_allclose(table.exact(np.arange(16)), expected)
    assert (table.bound >= expected).all() and expected[2] > 0 and expected[15] > 0
    assert table.best(np.ones(8), 3).tolist() == sorted(np.argsort(-expected)[:3].tolist())


def near_copy(encoded: EncodedImage, seed: int) -> EncodedImage:
    """The same features with a bit or two of the signatures turned over, and a second word for
    each.
    """
    rng = np.random.default_rng(seed)
    words = np.hstack([encoded.words, rng.integers(0, WORDS, encoded.words.shape, np.int32)])
    signatures = np.hstack([encoded.signatures] * 2) ^ (
        np.uint64(1) << rng.integers(0, 64, words.shape, np.uint64)
    )
    return dataclasses.replace(encoded, words=words, signatures=signatures)


def test_tfidf_lengths_are_those_of_the_whole_vectors(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    images = [image(seed, 60) for seed in range(5)]
    segment = written(directory, "a", images)
    everything = np.ones(5, bool)
    snapshot = Snapshot(
        Manifest(1, FeatureSpec(), ""),
        [LiveSegment(segment, everything, segment.documents_of(everything))],
        WORDS,
    )
    counts = np.array([np.bincount(each.encoded.words[:, 0], minlength=WORDS) for each in images])
    collection = Collection(snapshot)
    lengths = np.linalg.norm(counts * collection.statistics.idf, axis=1)
    np.testing.assert_allclose(collection.tfidf_lengths, lengths)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.integers(1, 40))
def test_word_blocks_cover_all_words_once_within_the_limit(counts: list[int], limit: int) -> None:
    starts = np.concatenate(([0], np.cumsum(counts)))
    blocks = list(list_blocks(starts, limit))
    assert [first for first, _ in blocks] + [len(counts)] == [0] + [last for _, last in blocks]
    assert all(last - first == 1 or starts[last] - starts[first] <= limit for first, last in blocks)


@pytest.mark.parametrize("longest_list", [0, 10**9])
def test_an_image_gets_its_words_and_signatures_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest_list: int
) -> None:
    """Whether the lists are bisected or gone through."""
    monkeypatch.setattr(segments, "BISECTED_LIST", longest_list)
    monkeypatch.setattr(segments, "BLOCK", 64)
    images = [image(seed, features) for seed, features in enumerate([40, 0, 1, 300])]
    segment = written(Directory(tmp_path), "00000001", images)
    for ordinal, each in enumerate(images):
        words, signatures = segment.encoding_of(ordinal)
        assert np.array_equal(words, each.encoded.words[:, 0])
        assert np.array_equal(signatures, each.encoded.signatures[:, 0])


@pytest.mark.parametrize("longest_list", [0, 10**9])
def test_postings_that_name_a_feature_twice_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest_list: int
) -> None:
    monkeypatch.setattr(segments, "BISECTED_LIST", longest_list)
    segment = written(Directory(tmp_path), "00000001", [image(0, 40), image(1, 30)])
    features = segment.posting_features.copy()
    features[features == 50] = 51
    segment.posting_features = features
    assert len(segment.encoding_of(0)[0]) == 40
    with pytest.raises(IndexCorruptError, match="posting_features"):
        segment.encoding_of(1)
