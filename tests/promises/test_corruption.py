"""Damaged indexes: opening says what it can know, a check finds every changed byte and names the
file, nothing hangs or crashes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bovw import FeatureSpec, ImageIndex, Vocabulary, check_index
from bovw.errors import (
    BovwError,
    IncompatibleError,
    IndexCorruptError,
    IndexMissingError,
    IndexVersionError,
    VocabularyError,
)
from bovw.index.columns import optional_columns
from tests.fuzz.index import (
    Mutant,
    Variant,
    counted,
    files_of,
    fuzz,
    json_bytes,
    make_variants,
    seal,
    time_limit,
)
from tests.helpers.command import run
from tests.helpers.pictures import textured

Damaging = Callable[[Mutant, str], object]
MANIFEST = "manifest-00000006.json"
# The live images: 2 each in the first three segments, one in the last. 00000002 has deletions.
LIVE = 7
# Columns that every new image has.
OPTIONAL = len(optional_columns(FeatureSpec()))
FOLDERS = ["segments/00000002", "segments/00000003", "segments/00000004", "segments/00000005"]


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Variant]:
    return {
        variant.name: variant
        for variant in make_variants(tmp_path_factory.mktemp("variants") / "all")
    }


@pytest.fixture(scope="module", params=["small", "counted"])
def variant(request: pytest.FixtureRequest, variants: dict[str, Variant]) -> Variant:
    return variants[request.param]


@pytest.fixture
def mutant(variants: dict[str, Variant], tmp_path: Path) -> Mutant:
    """A copy of an index of large segments, which has all kinds of files, to be damaged."""
    return copy_of(variants["counted"], tmp_path / "i.bovw")


def copy_of(variant: Variant, folder: Path) -> Mutant:
    shutil.copytree(variant.folder, folder, copy_function=os.link)
    return Mutant(folder, np.random.default_rng(0))


def damages(mutant: Mutant, name: str = "counted") -> dict[str, tuple[str, int]]:
    """What a check finds: the reason and what is lost, by file."""
    with counted(name), time_limit(10):
        report = check_index(mutant.folder)
    return {
        os.path.relpath(damage.file, mutant.folder): (damage.reason, damage.lost)
        for damage in report.damages
    }


def opening_error(mutant: Mutant) -> BovwError:
    """The error that opening ends in."""
    with counted("counted"), time_limit(10), pytest.raises(BovwError) as caught:
        ImageIndex.open(mutant.folder)
    return caught.value


def flip_first(mutant: Mutant, name: str) -> None:
    content = mutant.read(name)
    mutant.write(name, bytes([content[0] ^ 1]) + content[1:])


def flip_last(mutant: Mutant, name: str) -> None:
    content = mutant.read(name)
    mutant.write(name, content[:-1] + bytes([content[-1] ^ 1]))


def flip_middle(mutant: Mutant, name: str) -> None:
    content = bytearray(mutant.read(name))
    content[len(content) * 2 // 3] ^= 16
    mutant.write(name, bytes(content))


def cut_off_one_byte(mutant: Mutant, name: str) -> None:
    mutant.write(name, mutant.read(name)[:-1])


def cut_off_half(mutant: Mutant, name: str) -> None:
    mutant.write(name, mutant.read(name)[: len(mutant.read(name)) // 2])


def empty(mutant: Mutant, name: str) -> None:
    mutant.write(name, b"")


def append_a_line_feed(mutant: Mutant, name: str) -> None:
    mutant.write(name, mutant.read(name) + b"\n")


def delete(mutant: Mutant, name: str) -> None:
    (mutant.folder / name).unlink()


def replace_by_a_folder(mutant: Mutant, name: str) -> None:
    (mutant.folder / name).unlink()
    (mutant.folder / name).mkdir()


def replace_by_a_pipe(mutant: Mutant, name: str) -> None:
    (mutant.folder / name).unlink()
    os.mkfifo(mutant.folder / name)


def replace_by_a_loop(mutant: Mutant, name: str) -> None:
    (mutant.folder / name).unlink()
    (mutant.folder / name).symlink_to(os.path.basename(name))


VOCABULARY = ["vocabulary.json", "words.npy", "cells.npy", "cell_starts.npy", "projection.npy"]
DAMAGES: list[Damaging] = [
    flip_first, flip_last, flip_middle, cut_off_one_byte, cut_off_half, empty, append_a_line_feed,
    delete, replace_by_a_folder, replace_by_a_pipe, replace_by_a_loop,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_check_names_the_damaged_file_of_a_segment_and_what_is_lost(
    variant: Variant, damage: Damaging, tmp_path: Path
) -> None:
    lost = dict(zip(FOLDERS, (2, 2, 2, 1), strict=True))
    names = [name for name in variant.contents if os.path.dirname(name) in FOLDERS]
    assert len(names) == 4 * (12 + OPTIONAL if variant.name == "small" else 13 + OPTIONAL)
    found = {}
    for number, name in enumerate(names):
        mutant = copy_of(variant, tmp_path / str(number))
        damage(mutant, name)
        found[name] = {file: images for file, (_, images) in damages(mutant, variant.name).items()}
    assert found == {name: {name: lost[os.path.dirname(name)]} for name in names}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_check_names_the_damaged_file_of_a_deletion_and_what_is_lost(
    variant: Variant, damage: Damaging, tmp_path: Path
) -> None:
    names = [name for name in variant.contents if name.startswith("deleted/")]
    assert len(names) == (2 if variant.name == "small" else 4)
    found = {}
    for number, name in enumerate(names):
        mutant = copy_of(variant, tmp_path / str(number))
        damage(mutant, name)
        found[name] = {file: images for file, (_, images) in damages(mutant, variant.name).items()}
    assert found == {name: {name: 2} for name in names}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_check_names_the_damaged_manifest(
    variant: Variant, damage: Damaging, tmp_path: Path
) -> None:
    mutant = copy_of(variant, tmp_path / "i.bovw")
    damage(mutant, MANIFEST)
    if damage is delete:
        with pytest.raises(IndexMissingError, match=r"i\.bovw"):
            check_index(mutant.folder)
    else:
        assert list(damages(mutant, variant.name)) == [MANIFEST]


@pytest.mark.parametrize("file", VOCABULARY)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_check_names_the_damaged_file_of_the_vocabulary(
    mutant: Mutant, damage: Damaging, file: str
) -> None:
    damage(mutant, f"vocabulary/{file}")
    assert {name: lost for name, (_, lost) in damages(mutant).items()} == {
        f"vocabulary/{file}": LIVE
    }


def test_a_check_names_all_damaged_files(mutant: Mutant) -> None:
    names = {
        f"{FOLDERS[1]}/places.npy",
        f"{FOLDERS[2]}/segment.json",
        "deleted/00000002-00000005.npy",
        "deleted/00000003-00000006.npy",
    }
    for name in names:
        flip_last(mutant, name)
    assert damages(mutant).keys() == names


def test_a_check_names_both_of_two_swapped_files(mutant: Mutant) -> None:
    first, second = f"{FOLDERS[1]}/sizes.npy", f"{FOLDERS[2]}/word_bits.npy"
    content = mutant.read(first)
    mutant.write(first, mutant.read(second))
    mutant.write(second, content)
    assert damages(mutant).keys() == {first, second}
    assert isinstance(opening_error(mutant), IndexCorruptError)


def test_swapped_segments_are_found_when_the_index_is_opened(mutant: Mutant) -> None:
    first, second = (mutant.folder / name for name in FOLDERS[:2])
    first.rename(mutant.folder / "moved")
    second.rename(first)
    (mutant.folder / "moved").rename(second)
    assert damages(mutant).keys() == {f"{name}/segment.json" for name in FOLDERS[:2]}
    assert "its checksum is not the one in the manifest" in str(opening_error(mutant))


@pytest.mark.parametrize("thing", ["nothing", "a file", "a loop"])
@pytest.mark.parametrize("folder", ["segments", "segments/00000003", "deleted", "vocabulary"])
def test_a_check_names_a_folder_that_is_gone(mutant: Mutant, folder: str, thing: str) -> None:
    shutil.rmtree(mutant.folder / folder)
    if thing == "a file":
        (mutant.folder / folder).write_bytes(b"")
    elif thing == "a loop":
        (mutant.folder / folder).symlink_to(os.path.basename(folder))
    found = damages(mutant)
    assert found and all(name == folder or name.startswith(f"{folder}/") for name in found)
    assert folder in str(opening_error(mutant))


def change_version(mutant: Mutant, name: str, old: str, new: str) -> None:
    """Another version in a file; nothing else changes, and no checksum follows."""
    assert old.encode() in mutant.read(name)
    mutant.write(name, mutant.read(name).replace(old.encode(), new.encode()))


@pytest.mark.parametrize(
    ("version", "advice"), [(1, "index the pictures again"), (4, "use the version that wrote it")]
)
def test_another_version_of_the_index_is_said_to_be_one(
    mutant: Mutant, version: int, advice: str
) -> None:
    change_version(mutant, MANIFEST, '"version": 3', f'"version": {version}')
    error = opening_error(mutant)
    assert isinstance(
        error, IndexVersionError
    ) and f"format version {version}, this program reads 2 to 3: {advice}" in str(error)
    with pytest.raises(IndexVersionError, match=f"{MANIFEST}.*version {version}"):
        check_index(mutant.folder)


@pytest.mark.parametrize("version", [0, 3])
def test_another_version_of_a_segment_is_said_to_be_one(mutant: Mutant, version: int) -> None:
    name = f"{FOLDERS[2]}/segment.json"
    change_version(mutant, name, '"bovw-segment-2"', f'"bovw-segment-{version}"')
    assert isinstance(opening_error(mutant), IndexCorruptError)  # the manifest knows nothing of it
    seal(mutant, name)
    error = opening_error(mutant)
    assert (
        isinstance(error, IndexVersionError)
        and name in str(error)
        and "bovw-segment-1 or bovw-segment-2" in str(error)
    )
    assert "not a segment that this version reads" in damages(mutant)[name][0]


def test_another_version_of_the_vocabulary_is_said_to_be_one(mutant: Mutant) -> None:
    change_version(
        mutant, "vocabulary/vocabulary.json", '"bovw-vocabulary-1"', '"bovw-vocabulary-2"'
    )
    error = opening_error(mutant)
    assert isinstance(
        error, VocabularyError
    ) and "'bovw-vocabulary-2', this version reads 'bovw-vocabulary-1'" in str(error)


@pytest.mark.parametrize(
    ("damage", "name", "kind", "message"),
    [
        (delete, MANIFEST, IndexMissingError, "there is no index here"),
        (flip_middle, MANIFEST, IndexCorruptError, f"{MANIFEST}: damaged"),
        (cut_off_half, MANIFEST, IndexCorruptError, f"{MANIFEST}: damaged"),
        (replace_by_a_pipe, MANIFEST, IndexCorruptError, f"{MANIFEST}: is not a regular file"),
        (flip_middle, f"{FOLDERS[0]}/segment.json", IndexCorruptError, "segment.json: damaged"),
        (
            delete,
            f"{FOLDERS[0]}/segment.json",
            IndexCorruptError,
            "segment.json: the file is missing",
        ),
        (
            flip_first,
            f"{FOLDERS[1]}/shapes.npy",
            IndexCorruptError,
            "shapes.npy: does not begin as an array",
        ),
        (cut_off_one_byte, f"{FOLDERS[1]}/shapes.npy", IndexCorruptError, "shapes.npy: has "),
        (append_a_line_feed, f"{FOLDERS[1]}/images.jsonl", IndexCorruptError, "images.jsonl: has "),
        (
            delete,
            f"{FOLDERS[1]}/word_bits.npy",
            IndexCorruptError,
            "word_bits.npy: the file is missing",
        ),
        (
            replace_by_a_loop,
            f"{FOLDERS[3]}/places.npy",
            IndexCorruptError,
            "places.npy: cannot be read",
        ),
        (
            replace_by_a_folder,
            f"{FOLDERS[3]}/places.npy",
            IndexCorruptError,
            "places.npy: cannot be read",
        ),
        (
            flip_last,
            "deleted/00000002-00000005.npy",
            IndexCorruptError,
            "00000002-00000005.npy: damaged",
        ),
        (
            flip_last,
            "deleted/00000002-00000005-documents.npy",
            IndexCorruptError,
            "-documents.npy: damaged",
        ),
        (
            delete,
            "deleted/00000003-00000006.npy",
            IndexCorruptError,
            "00000003-00000006.npy: the file is missing",
        ),
        (flip_last, "vocabulary/words.npy", VocabularyError, "vocabulary is damaged"),
        (delete, "vocabulary/vocabulary.json", VocabularyError, "there is no vocabulary here"),
        (replace_by_a_folder, "vocabulary/cells.npy", VocabularyError, "vocabulary is damaged"),
        (replace_by_a_pipe, "vocabulary/cells.npy", VocabularyError, "vocabulary is damaged"),
        (
            replace_by_a_pipe,
            "vocabulary/vocabulary.json",
            VocabularyError,
            "vocabulary.json cannot be read",
        ),
    ],
)
def test_opening_says_which_file_is_wrong_and_how(
    mutant: Mutant, damage: Damaging, name: str, kind: type, message: str
) -> None:
    damage(mutant, name)
    error = opening_error(mutant)
    assert type(error) is kind and message in str(error)


def test_the_vocabulary_of_another_index_is_refused(mutant: Mutant) -> None:
    shutil.rmtree(mutant.folder / "vocabulary")  # its files are links to those of the sound index
    Vocabulary.shipped("orb").save(mutant.folder / "vocabulary")
    assert type(opening_error(mutant)) is IncompatibleError
    found = damages(mutant)
    assert found and all(
        name.startswith("vocabulary") and lost == LIVE for name, (_, lost) in found.items()
    )


def add_one(mutant: Mutant, name: str, place: int = 0) -> None:
    """Another number in an array file; all checksums follow."""
    content = bytearray(mutant.read(name))
    content[128 + place] = (content[128 + place] + 1) % 256
    mutant.write(name, bytes(content))
    seal(mutant, name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{FOLDERS[2]}/path_hashes.npy", "contradicts images.jsonl"),
        (f"{FOLDERS[2]}/sizes.npy", "contradicts images.jsonl"),
        (f"{FOLDERS[2]}/posting_features.npy", "does not name every feature once"),
        (f"{FOLDERS[2]}/document_counts.npy", "contradicts the postings"),
        (f"{FOLDERS[2]}/word_counts.npy", "does not add up"),
        ("deleted/00000002-00000005-documents.npy", "contradicts the postings"),
    ],
)
def test_a_check_finds_what_contradicts_another_file_whatever_the_checksums_say(
    mutant: Mutant, name: str, reason: str
) -> None:
    add_one(mutant, name)
    found = damages(mutant)
    assert list(found) == [name] and reason in found[name][0] and found[name][1] == 2


def test_a_check_counts_the_deleted_images(mutant: Mutant) -> None:
    name = "deleted/00000003-00000006.npy"
    content = mutant.read(name)
    mutant.write(name, content[:128] + b"\1\1\0")
    seal(mutant, name)
    assert "contradicts the manifest" in damages(mutant)[name][0]


def test_a_check_finds_a_path_that_is_there_twice(mutant: Mutant) -> None:
    lines, hashes = f"{FOLDERS[2]}/images.jsonl", f"{FOLDERS[2]}/path_hashes.npy"
    mutant.write(lines, 2 * mutant.read(lines).splitlines(keepends=True)[0])
    mutant.write(hashes, mutant.read(hashes)[:128] + 2 * mutant.read(hashes)[128:136])
    for name in (lines, hashes):
        seal(mutant, name)
    assert [reason for reason, _ in damages(mutant).values()] == ["photos/6.png is there twice"]


def test_damage_that_opening_cannot_know_is_not_passed_on_by_a_merge(mutant: Mutant) -> None:
    """A merge writes new checksums. Were they over damaged bytes, no check could ever find the
    damage again.
    """
    flip_last(mutant, f"{FOLDERS[1]}/places.npy")
    with counted("counted"):
        try:
            with ImageIndex.open(mutant.folder) as index:
                index.merge()
        except IndexCorruptError as error:
            assert "places.npy" in str(error)
    assert damages(mutant), "the damage is still there, and now it has a right checksum"


@pytest.mark.slow
def test_the_command_says_which_file_is_damaged_and_what_that_costs(
    variants: dict[str, Variant], tmp_path: Path
) -> None:
    mutant = copy_of(variants["small"], tmp_path / "i.bovw")
    sound = run("check", "--index", "i.bovw", cwd=tmp_path)
    assert (sound.returncode, sound.stderr) == (0, "") and sound.stdout.startswith(
        f"i.bovw: sound: {LIVE} images, "
    )
    flip_last(mutant, f"{FOLDERS[0]}/places.npy")
    delete(mutant, f"{FOLDERS[3]}/shapes.npy")
    done = run("check", "--index", "i.bovw", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    first, second = done.stdout.splitlines()
    assert first.endswith(
        f"i.bovw/{FOLDERS[0]}/places.npy: damaged (its checksum does not match); "
        "2 images cannot be trusted"
    )
    assert f"i.bovw/{FOLDERS[3]}/shapes.npy: the file is missing; 1 image" in second
    delete(mutant, MANIFEST)
    gone = run("check", "--index", "i.bovw", cwd=tmp_path)
    assert (gone.returncode, gone.stdout) == (
        1,
        "",
    ) and "i.bovw: there is no index here" in gone.stderr


@pytest.mark.slow
def test_what_a_crash_leaves_is_listed_and_is_no_damage(
    variants: dict[str, Variant], tmp_path: Path
) -> None:
    mutant = copy_of(variants["small"], tmp_path / "i.bovw")
    leftovers = [
        "manifest-00000005.json",
        "tmp-manifest-00000007.json",
        "segments/tmp-00000007",
        "segments/00000001",
        "deleted/x.npy",
    ]
    for name in leftovers:
        if name.startswith("segments"):
            (mutant.folder / name).mkdir()
            (mutant.folder / name / "places.npy").write_bytes(b"half")
        else:
            (mutant.folder / name).write_bytes(b"half")
    report = check_index(mutant.folder)
    assert report.damages == [] and {
        os.path.relpath(name, mutant.folder) for name in report.leftovers
    } == set(leftovers)
    done = run("check", "--index", "i.bovw", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("i.bovw: sound")
    assert all(
        any(f"i.bovw/{name}: left over" in line for line in done.stderr.splitlines())
        for name in leftovers
    )
    with ImageIndex.open(mutant.folder) as index:
        index.remove([])
    assert not any((mutant.folder / name).exists() for name in leftovers)


def test_a_foreign_file_in_a_segment_is_named_and_costs_nothing(mutant: Mutant) -> None:
    (mutant.folder / FOLDERS[1] / "extra.npy").write_bytes(b"x")
    assert damages(mutant) == {f"{FOLDERS[1]}/extra.npy": ("does not belong there", 0)}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["root"], 5),
        (["features", "name"], "orb"),
        (["features", "max_features"], 100.5),
        (["segments", 0, "name"], 3),
        (["segments", 0, "name"], "\0"),
        (["segments", 0, "name"], "a" * 5000),
        (["segments", 0, "sha256"], []),
        (["segments", 0, "images"], "3"),
        (["segments", 0, "deletion", "images"], None),
        (["segments", 0, "deletion", "name"], "\ud800"),
    ],
)
def test_a_manifest_with_a_right_checksum_and_a_wrong_value_is_corrupt(
    mutant: Mutant, keys: list[str | int], value: object
) -> None:
    body = json.loads(mutant.read(MANIFEST))
    inside = body
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = value
    mutant.write(MANIFEST, json.dumps(body).encode())
    seal(mutant, MANIFEST)
    assert isinstance(opening_error(mutant), (IndexCorruptError, IncompatibleError))
    assert damages(mutant)


@pytest.mark.parametrize("value", [5, None, float("nan"), [], "\ud800"])
def test_a_record_whose_path_is_none_is_corrupt(mutant: Mutant, value: object) -> None:
    name = f"{FOLDERS[1]}/images.jsonl"
    lines = mutant.read(name).splitlines(keepends=True)
    lines[0] = (json.dumps({**json.loads(lines[0]), "path": value}) + "\n").encode()
    mutant.write(name, b"".join(lines))
    seal(mutant, name)
    with (
        counted("counted"),
        pytest.raises(IndexCorruptError, match=r"images\.jsonl"),
        ImageIndex.open(mutant.folder) as index,
    ):
        list(index.records())
    assert name in damages(mutant)


@pytest.mark.parametrize("size", [(0, 0), (160, 0)])
def test_an_image_without_pixels_is_corrupt(mutant: Mutant, size: tuple[int, int]) -> None:
    """A query would divide by these sizes."""
    name = f"{FOLDERS[1]}/sizes.npy"
    mutant.write(name, mutant.read(name)[:128] + np.array([size] * 3, "<u4").tobytes())
    with (
        counted("counted"),
        pytest.raises(IndexCorruptError, match=r"sizes\.npy"),
        ImageIndex.open(mutant.folder) as index,
    ):
        index.search(textured(3, 160, 120))


def test_a_length_that_is_no_number_is_corrupt(mutant: Mutant) -> None:
    name = f"{FOLDERS[1]}/segment.json"
    body = json.loads(mutant.read(name))
    body["files"]["places.npy"]["bytes"] = float("inf")
    mutant.write(name, json.dumps(body).encode())
    seal(mutant, name)
    assert name in str(opening_error(mutant))
    assert name in damages(mutant)


@pytest.mark.parametrize("name", [MANIFEST, f"{FOLDERS[1]}/segment.json"])
@pytest.mark.parametrize("file", ["\0", "\ud800", "a" * 5000, "../../../photos/0.png", ""])
def test_a_file_name_that_cannot_be_is_corrupt(mutant: Mutant, name: str, file: str) -> None:
    body = json.loads(mutant.read(name))
    files = body["vocabulary_files" if name == MANIFEST else "files"]
    files[file] = next(iter(files.values()))
    mutant.write(name, json_bytes(body))
    seal(mutant, name)
    assert damages(mutant)


def test_a_vocabulary_whose_scale_is_too_large_is_damaged(mutant: Mutant) -> None:
    name = "vocabulary/vocabulary.json"
    body = json.loads(mutant.read(name))
    mutant.write(name, json.dumps({**body, "word_scale": 10**400}).encode())
    assert isinstance(opening_error(mutant), VocabularyError)
    assert damages(mutant)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cells", np.inf), ("projection", np.nan), ("projection", 0.0), ("projection", 1e-40)],
)
def test_a_vocabulary_of_impossible_numbers_is_damaged_whatever_the_checksums_say(
    mutant: Mutant, name: str, value: float
) -> None:
    """A query would be multiplied and divided by them."""
    file = f"vocabulary/{name}.npy"
    values = np.full((len(mutant.read(file)) - 128) // 4, value, "<f4")
    mutant.write(file, mutant.read(file)[:128] + values.tobytes())
    seal(mutant, file)
    assert isinstance(opening_error(mutant), VocabularyError)
    assert damages(mutant)


@pytest.mark.parametrize("kind", ["()", "('<u4',)", "'|O'", "[('a', '<u4')]", "3", "'x"])
@pytest.mark.parametrize("shape", ["(64, 128)", "(-1,)", "(9223372036854775807, 9)", "None"])
def test_a_vocabulary_array_of_another_kind_is_damaged(
    mutant: Mutant, kind: str, shape: str
) -> None:
    header = (
        f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode()
        + b"\n"
    )
    mutant.write(
        "vocabulary/words.npy",
        b"\x93NUMPY\x01\x00v\x00" + header + mutant.read("vocabulary/words.npy")[128:],
    )
    assert isinstance(opening_error(mutant), VocabularyError)
    assert list(damages(mutant)) == ["vocabulary/words.npy"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_mutants_end_in_a_result_or_an_error_and_a_check_finds_them(
    tmp_path: Path, seed: int
) -> None:
    cv2.setNumThreads(1)
    violations = fuzz(150, seed, tmp_path / "fuzz")
    assert not violations, "\n".join(map(ascii, map(str, violations)))


@pytest.mark.slow
def test_the_fuzzer_makes_the_same_mutants_again_and_leaves_the_originals_alone(
    tmp_path: Path,
) -> None:
    seen: list[int] = []
    fuzz(3, 5, tmp_path / "fuzz", first=40, tell=lambda number, _: seen.append(number))
    assert seen == [40, 41, 42]
    made = make_variants(tmp_path / "again")
    for variant in made:
        left = files_of(tmp_path / "fuzz" / f"{variant.name}.bovw")
        left.pop(".lock")
        assert left == variant.contents
