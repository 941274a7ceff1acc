"""The index as its users see it: add, search, and find the right place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from bovw import ImageIndex, SearchOptions, Vocabulary
from bovw.errors import (
    BovwError,
    ImageError,
    IncompatibleError,
    IndexCorruptError,
    IndexExistsError,
    IndexLockedError,
    IndexMissingError,
    IndexVersionError,
    ParameterError,
)
from bovw.features.encoding import encode
from bovw.features.local import extract
from bovw.features.threads import one_blas_thread
from bovw.geometry.transform import project
from bovw.index import manifest as manifests
from bovw.index import segment as segments
from bovw.index.manifest import Deletion, SegmentEntry
from bovw.index.writer import mergeable_run
from bovw.pictures.reading import load_picture
from bovw.search.query import Variant
from bovw.search.ranking import answer_part, describe, merge_parts
from tests.helpers.pictures import crop_query, textured

COUNT = 12
CROP = SearchOptions(crop=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        cv2.imwrite(str(folder / f"{number:02d}.png"), textured(number, 480, 360))
    return folder


@pytest.fixture(scope="module", params=["rootsift", "orb"])
def index(
    request: pytest.FixtureRequest, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageIndex]:
    path = tmp_path_factory.mktemp("index") / "test.bovw"
    with ImageIndex.create(path, Vocabulary.shipped(request.param)) as made:
        report = made.add([photos])
        assert (report.added, report.failed) == (COUNT, [])
        yield made


def name_of(path: str) -> str:
    return Path(path).name


def mean_corner_error(outline: NDArray[np.float64] | None, truth: NDArray[np.float64]) -> float:
    assert outline is not None
    return float(np.hypot(*(outline - truth).T).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("angle", "scale"), [(0, 1.0), (30, 0.8), (90, 1.3), (200, 0.9)])
def test_a_crop_is_found_and_located(index: ImageIndex, angle: float, scale: float) -> None:
    for number in (1, 7):
        query, to_picture = crop_query(textured(number, 480, 360), 150, 100, 200, 150, angle, scale)
        match = index.search(query, CROP).matches[0]
        assert name_of(match.path) == f"{number:02d}.png"
        assert match.verified and not match.mirrored and match.inliers >= 10
        height, width = query.shape[:2]
        corners = np.array(
            [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float
        )
        assert mean_corner_error(match.outline, project(to_picture, corners)) < (
            2 if index.spec.kind == "rootsift" else 6
        )
        assert match.homography is not None and match.outline is not None
        np.testing.assert_allclose(project(match.homography, corners), match.outline, atol=1e-6)
        agreed = (
            project(match.homography, match.correspondences[:, :2]) - match.correspondences[:, 2:]
        )
        assert np.median(np.hypot(*agreed.T)) < 3
        area = 200 * 150 / (480 * 360)
        assert match.query_overlap == pytest.approx(1, abs=0.01)
        assert match.image_overlap == pytest.approx(area, rel=0.1)
        assert match.rotation is not None and abs((match.rotation - angle + 180) % 360 - 180) < (
            0.5 if index.spec.kind == "rootsift" else 2
        )
        assert match.scale == pytest.approx(
            1 / scale, rel=0.01 if index.spec.kind == "rootsift" else 0.03
        )


@pytest.mark.slow
def test_a_mirrored_copy_is_found_and_said_to_be_one(index: ImageIndex) -> None:
    query = np.ascontiguousarray(textured(4, 480, 360)[40:300, 60:400][:, ::-1])
    match = index.search(query, CROP).matches[0]
    assert name_of(match.path) == "04.png" and match.mirrored and match.verified
    truth = np.array([[399, 40], [60, 40], [60, 299], [399, 299]], float)
    assert mean_corner_error(match.outline, truth) < 3
    assert match.rotation == pytest.approx(0, abs=0.5) and match.scale == pytest.approx(1, rel=0.01)
    unmirrored = index.search(query, SearchOptions(crop=True, mirror=False)).matches
    assert not any(match.verified for match in unmirrored)


@pytest.mark.slow
def test_several_copies_in_one_image_have_a_place_each(tmp_path: Path) -> None:
    patch, scene = textured(50, 200, 150), textured(51, 640, 480)
    scene[20:170, 30:230] = patch
    scene[300:450, 400:600] = patch
    scene[200:350, 100:250] = np.rot90(patch)[:150, :150]
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    with ImageIndex.create(tmp_path / "index.bovw") as index:
        index.add([tmp_path / "scene.png"])
        assert len(index.search(patch, CROP).matches) == 1
        matches = index.search(patch, SearchOptions(crop=True, instances=5)).matches
    assert len(matches) == 3 and all(
        match.verified and name_of(match.path) == "scene.png" for match in matches
    )
    corners = [
        np.array([[x, y], [x + 199, y], [x + 199, y + 149], [x, y + 149]], float)
        for x, y in ((30, 20), (400, 300))
    ]
    for truth in corners:
        assert min(mean_corner_error(match.outline, truth) for match in matches) < 2


@pytest.mark.slow
def test_a_query_that_shows_two_pictures_finds_both(index: ImageIndex) -> None:
    query = np.hstack(
        [textured(2, 480, 360)[50:300, 100:350], textured(6, 480, 360)[20:270, 80:330]]
    )
    matches = index.search(query, CROP).matches
    assert {name_of(match.path) for match in matches if match.verified} == {"02.png", "06.png"}


@pytest.mark.slow
def test_verified_matches_come_first_whatever_is_asked_for(index: ImageIndex) -> None:
    query = np.hstack(
        [textured(2, 480, 360)[50:300, 100:350], textured(6, 480, 360)[20:270, 80:330]]
    )
    for options in (
        CROP,
        SearchOptions(),
        SearchOptions(scoring="tfidf"),
        SearchOptions(verify_top=0),
        SearchOptions(verify_top=1),
    ):
        matches = index.search(query, options).matches
        assert [match.verified for match in matches] == sorted(
            (match.verified for match in matches), reverse=True
        )
        for verified in (True, False):
            scores = [match.score for match in matches if match.verified == verified]
            assert scores == sorted(scores, reverse=True)
        for k in (1, 2, 3):
            fewer = index.search(query, replace(options, k=k)).matches
            assert [match.path for match in fewer] == [match.path for match in matches[:k]]


def test_fewer_false_alarms_leave_fewer_yes(index: ImageIndex) -> None:
    query, _ = crop_query(textured(3, 480, 360), 150, 100, 100, 80, 20, 0.9)
    found = [
        index.search(query, replace(CROP, false_alarms=rate)).matches
        for rate in (1.0, 0.01, 1e-4, 1e-300)
    ]
    yes = [{match.path for match in matches if match.verified} for matches in found]
    assert (
        all(later <= earlier for earlier, later in pairwise(yes))
        and not yes[-1]
        and name_of(found[0][0].path) == "03.png"
    )
    for matches in found:
        for match in matches:
            assert (
                match.confidence == pytest.approx(np.exp(-(10**match.log_false_alarms)))
                if match.inliers
                else match.confidence == 0
            )
    for rate in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ParameterError, match="false_alarms"):
            SearchOptions(false_alarms=rate)


@pytest.mark.slow
def test_a_picture_that_is_not_there_is_not_verified(index: ImageIndex) -> None:
    for seed in range(100, 106):
        assert not any(
            match.verified for match in index.search(textured(seed, 300, 240), CROP).matches
        )


def test_a_box_searches_with_a_part_and_keeps_the_coordinates_of_the_whole(
    index: ImageIndex,
) -> None:
    query = np.hstack([textured(200, 300, 360), textured(3, 480, 360)])
    match = index.search(query, CROP, box=(400, 50, 250, 200)).matches[0]
    assert name_of(match.path) == "03.png"
    assert (
        mean_corner_error(
            match.outline, np.array([[100, 50], [349, 50], [349, 249], [100, 249]], float)
        )
        < 3
    )
    with pytest.raises(ParameterError, match="box"):
        index.search(query, box=(700, 0, 100, 100))


@pytest.mark.slow
def test_outlines_are_in_original_pixels_when_both_sides_were_shrunk(tmp_path: Path) -> None:
    large = cv2.resize(textured(1, 480, 360), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "large.png"), large)
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([tmp_path / "large.png"])
        match = index.search(large[200:1400, 100:1800], CROP).matches[0]
    assert (
        mean_corner_error(
            match.outline, np.array([[100, 200], [1799, 200], [1799, 1399], [100, 1399]], float)
        )
        < 3
    )


@pytest.mark.slow
def test_whole_image_search_ranks_the_copy_first_and_all_scorings_agree(index: ImageIndex) -> None:
    copy = cv2.imdecode(
        cv2.imencode(".jpg", textured(5, 480, 360), [cv2.IMWRITE_JPEG_QUALITY, 50])[1],
        cv2.IMREAD_COLOR,
    )
    assert copy is not None
    for options in (
        SearchOptions(),
        SearchOptions(verify_top=0),
        SearchOptions(scoring="tfidf"),
        SearchOptions(scoring="tfidf", verify_top=0),
    ):
        result = index.search(np.asarray(copy), options)
        assert name_of(result.matches[0].path) == "05.png"
        scores = [match.score for match in result.matches]
        assert scores == sorted(scores, reverse=True) and len(scores) <= options.k


@pytest.mark.slow
def test_tfidf_is_the_cosine_that_scipy_computes(index: ImageIndex, photos: Path) -> None:
    words, count = len(index.vocabulary), COUNT
    rows = []
    for number in range(count):
        features = extract(
            load_picture(photos / f"{number:02d}.png", index.spec.max_side), index.spec
        )
        rows.append(np.bincount(encode(features, index.vocabulary).words[:, 0], minlength=words))
    table = scipy.sparse.csr_array(np.array(rows, float))
    documents = np.asarray((table > 0).sum(axis=0)).ravel()
    idf = np.where(documents > 0, np.log1p(count / np.maximum(documents, 1)), 0)
    query = encode(
        extract(
            load_picture(textured(5, 480, 360)[50:250, 50:300], index.spec.max_side), index.spec
        ),
        index.vocabulary,
        2,
    )
    vector = np.bincount(query.words[:, 0], minlength=words) * idf
    weighted = table.multiply(idf).tocsr()
    expected = (
        weighted
        @ vector
        / np.sqrt(weighted.power(2).sum(axis=1))
        / np.linalg.norm(vector * (documents > 0))
    )
    options = SearchOptions(k=count, scoring="tfidf", verify_top=0)
    variants = [Variant(query, query.box, np.eye(3))]
    answers = [answer_part(index._open_collection, variants, options)]
    matches = describe(answers, merge_parts(answers, options), variants, options)
    found = {name_of(match.path): match.score for match in matches}
    for number in range(count):
        assert found.get(f"{number:02d}.png", 0.0) == pytest.approx(
            expected[number], rel=1e-9, abs=1e-12
        )


def answers(index: ImageIndex) -> list[tuple[str, float, bytes]]:
    """What an index says to some queries, to the last bit."""
    found = []
    for seed in (2, 9, 300):
        matches = index.search(textured(seed, 480, 360)[30:260, 80:380], CROP).matches
        found += [
            (
                name_of(match.path),
                match.score,
                b"" if match.outline is None else match.outline.tobytes(),
            )
            for match in matches
        ]
    return found


@pytest.mark.slow
def test_batches_merges_and_replacements_answer_like_one_go(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    files = []
    for number in range(COUNT):
        files.append(folder / f"{number:02d}.png")
        files[-1].write_bytes((photos / f"{(number + 5) % COUNT:02d}.png").read_bytes())
    with ImageIndex.create(tmp_path / "many.bovw") as many:
        for file in files:
            many.add([file])
        assert len(many._snapshot.manifest.segments) < COUNT
        for number, file in enumerate(files):
            file.write_bytes((photos / f"{number:02d}.png").read_bytes())
            os.utime(file, ns=(1, number + 1))
        report = many.add([folder])
        assert (report.added, report.changed, report.unchanged) == (0, COUNT, 0)
        assert len(many) == COUNT
        with ImageIndex.create(tmp_path / "one.bovw") as one:
            one.add([folder])
            assert answers(many) == answers(one)
        with ImageIndex.open(tmp_path / "many.bovw") as reopened:
            assert answers(reopened) == answers(many)
    left = sorted(path.name for path in (tmp_path / "many.bovw").iterdir())
    assert len([name for name in left if name.startswith("manifest")]) == 1 and not [
        name for name in left if name.startswith("tmp")
    ]


@pytest.mark.slow
def test_the_same_pictures_give_the_same_bytes_whatever_the_number_of_processes(
    photos: Path, tmp_path: Path
) -> None:
    contents = []
    for jobs in (0, 2):
        path = tmp_path / f"{jobs}.bovw"
        with ImageIndex.create(path) as index:
            index.add([photos], jobs=jobs)
        contents.append(
            {
                str(file.relative_to(path)): file.read_bytes()
                for file in sorted(path.rglob("*"))
                if file.is_file()
            }
        )
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_adding_again_changes_nothing(photos: Path, tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([photos])
        before = index._snapshot.manifest
        report = index.add([photos])
        assert (report.added, report.unchanged, index._snapshot.manifest) == (0, COUNT, before)


@pytest.mark.slow
def test_bad_pictures_are_named_and_the_rest_goes_on(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    whole = (photos / "00.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((200, 200), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "good.png"), textured(1, 480, 360))
    seen: list[object] = []
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        report = index.add(
            [tmp_path, tmp_path / "absent.jpg"],
            progress=lambda stage, done, total: seen.append((stage, done, total)),
        )
        assert report.added == len(index) == 3
        reasons = {name_of(error.name): error.reason for error in report.failed}
        assert set(reasons) == {"empty.jpg", "text.png", "absent.jpg"}
        assert "empty" in reasons["empty.jpg"] and "no such file" in reasons["absent.jpg"]
        warnings = {name_of(warning.name): warning.reason for warning in report.warnings}
        assert set(warnings) == {"blank.png", "cut.png"}
        assert "no features" in warnings["blank.png"] and "cut off" in warnings["cut.png"]
        assert len(seen) == 5
        assert index.search(textured(1, 480, 360)).matches[0].path == str(tmp_path / "good.png")


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (1, 300), (240, 320)])
def test_a_query_without_features_has_no_matches(index: ImageIndex, shape: tuple[int, int]) -> None:
    result = index.search(np.full(shape, 128, np.uint8), CROP)
    assert result.feature_count == 0 and result.matches == []


def test_a_tiny_noisy_query_is_answered(index: ImageIndex) -> None:
    index.search(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8), CROP)


@pytest.mark.slow
def test_searching_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        assert len(index) == 0 and index.search(textured(1, 480, 360)).matches == []


def test_a_query_that_cannot_be_read_is_an_image_error(index: ImageIndex, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        index.search(tmp_path / "absent.jpg")


def test_mismatches_name_both_sides(photos: Path, tmp_path: Path) -> None:
    orb = Vocabulary.shipped("orb")
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([photos / "01.png"])
        with pytest.raises(IncompatibleError, match=r"rootsift.*orb"):
            index.require(features="orb")
        with pytest.raises(IncompatibleError, match=r"rootsift words.*orb words"):
            index.require(vocabulary=orb)
    orb.save(tmp_path / "i.bovw" / "vocabulary")
    with pytest.raises(IncompatibleError, match="vocabulary"):
        ImageIndex.open(tmp_path / "i.bovw")


@pytest.mark.slow
def test_states_of_the_folder_have_their_own_errors(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexMissingError):
        ImageIndex.open(tmp_path / "absent.bovw")
    with pytest.raises(IndexMissingError):
        ImageIndex.open(tmp_path)
    path = tmp_path / "i.bovw"
    with ImageIndex.create(path) as index:
        index.add([photos / "01.png"])
        with index._storage.lock(), pytest.raises(IndexLockedError):
            index.add([photos])
        newest = index._snapshot.manifest
    with pytest.raises(IndexExistsError):
        ImageIndex.create(path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(IndexExistsError):
        ImageIndex.create(tmp_path / "other")
    manifest = path / manifests.file_name(newest.generation)
    content = manifest.read_text()
    manifest.write_text(content.replace('"version": 3', '"version": 4'))
    with pytest.raises(IndexVersionError, match=r"version 4.*use the version that wrote it"):
        ImageIndex.open(path)
    manifest.write_text(content.replace('"version": 3', '"version": 1'))
    with pytest.raises(IndexVersionError, match=r"version 1.*index the pictures again"):
        ImageIndex.open(path)
    manifest.write_text(content.replace('"images": 1', '"images": 2'))
    with pytest.raises(IndexCorruptError, match="checksum"):
        ImageIndex.open(path)
    manifest.write_text("{")
    with pytest.raises(IndexCorruptError):
        ImageIndex.open(path)
    manifest.write_text(content)
    postings = path / "segments" / newest.segments[0].name / "posting_features.npy"
    whole = postings.read_bytes()
    postings.write_bytes(whole[:-100])
    with pytest.raises(IndexCorruptError, match="posting_features"):
        ImageIndex.open(path)
    postings.unlink()
    with pytest.raises(IndexCorruptError, match="missing"):
        ImageIndex.open(path)
    assert issubclass(IndexCorruptError, BovwError)


@pytest.mark.parametrize(
    "bad",
    [{"k": 0}, {"instances": 0}, {"verify_top": -1}, {"words_per_feature": 0}, {"scoring": "bm25"}],
)
def test_options_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(bad))):
        SearchOptions(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "run"),
    [
        ([], 0),
        ([5] * 7, 0),
        ([5] * 8, 8),
        ([3000, *[5] * 8], 8),
        ([256 * 8] * 7 + [5] * 7, 0),
        ([256 * 8] * 8, 8),
        ([1, *[256 * 8] * 8], 9),
    ],
)
def test_segments_gather_before_they_merge(images: list[int], run: int) -> None:
    found = mergeable_run(
        [SegmentEntry(str(number), count, count, "") for number, count in enumerate(images)]
    )
    assert found == (slice(len(images) - run, len(images)) if run else None)


def test_a_segment_that_is_mostly_deleted_is_rewritten() -> None:
    entries = [
        SegmentEntry(str(number), 10, 10, "", Deletion("", gone, "", "") if gone else None)
        for number, gone in enumerate((0, 5, 6))
    ]
    assert mergeable_run(entries) == slice(2, 3) and mergeable_run(entries[:2]) is None


@pytest.mark.slow
def test_changed_pictures_replace_themselves_and_no_others_while_segments_merge(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(14):
        cv2.imwrite(str(folder / f"{number:02d}.png"), textured(number, 200, 150))
    with ImageIndex.create(tmp_path / "i.bovw", max_features=100) as index:
        index.add([folder], batch=2)
        for number, path in enumerate(sorted(folder.iterdir())):
            os.utime(path, ns=(1, number))
        assert index.add([folder], batch=2).changed == 14
        live = [record.path for record in index.records()]
        assert sorted(live) == [str(path) for path in sorted(folder.iterdir())] and len(index) == 14


@pytest.mark.slow
def test_what_a_crash_left_behind_is_removed_by_the_next_writer(
    photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "i.bovw"
    (path / "segments").mkdir(parents=True)
    (path / "tmp-manifest-00000001.json").write_text("half")
    with ImageIndex.create(path) as index:
        index.add([photos / "01.png"])
    for garbage in ("segments/00000009", "segments/tmp-00000009", "deleted"):
        (path / garbage).mkdir()
        (path / garbage / "x.npy").write_text("half")
    (path / "tmp-manifest-00000003.json").write_text("half")
    with ImageIndex.open(path) as index:
        assert index.add([photos / "01.png"]).unchanged == 1
    names = [
        str(file.relative_to(path))
        for file in path.rglob("*")
        if "00000009" in str(file) or "tmp" in file.name or file.name == "x.npy"
    ]
    assert names == []


@pytest.mark.slow
@pytest.mark.parametrize("counted", [0, 131_072])
def test_damage_inside_a_file_is_an_error_not_a_wrong_answer(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    monkeypatch.setattr(segments, "COUNTED_FEATURES", counted)
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([photos / "01.png"])
        postings = (
            tmp_path
            / "i.bovw"
            / "segments"
            / index._snapshot.manifest.segments[0].name
            / "posting_features.npy"
        )
    content = postings.read_bytes()
    postings.write_bytes(content[:128] + b"\xff" * (len(content) - 128))
    with (
        pytest.raises(IndexCorruptError, match="posting_features"),
        ImageIndex.open(tmp_path / "i.bovw") as index,
    ):
        index.search(textured(1, 480, 360), CROP)


@pytest.mark.slow
def test_one_path_is_a_path_and_names_are_made_plain(photos: Path, tmp_path: Path) -> None:
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        assert index.add(str(photos / "01.png")).added == 1
        assert index.add([f"{photos}/./01.png", f"{photos}//01.png"]).unchanged == 1


def test_a_place_that_cannot_hold_an_index_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", Path("/proc/absent/i.bovw")):
        with pytest.raises(BovwError):
            ImageIndex.create(path)


@pytest.mark.slow
def test_indexing_leaves_the_threads_of_opencv_alone(photos: Path, tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    with ImageIndex.create(tmp_path / "i.bovw") as index:
        index.add([photos / "01.png"])
    assert cv2.getNumThreads() == before


def test_products_in_any_thread_use_one_blas_thread() -> None:
    def inside() -> set[int]:
        with one_blas_thread():
            return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(limits=2, user_api="blas"), ThreadPoolExecutor(1) as other:
        before = threadpool_info()
        assert other.submit(inside).result() == {1} and inside() == {1}
        assert threadpool_info() == before


@pytest.mark.slow
def test_searches_in_threads_agree_and_leave_the_threads_of_blas_alone(index: ImageIndex) -> None:
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    query = textured(6, 480, 360)[50:300, 80:400]
    expected = [(match.path, match.score) for match in index.search(query, CROP).matches]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: index.search(query, CROP), range(8)))
    assert all(
        [(match.path, match.score) for match in result.matches] == expected for result in results
    )
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()] == before
