"""Where the pictures of an index are: paths that come out can be opened, paths that go in mean what
they mean on disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bovw import ImageIndex, SearchOptions, Vocabulary, draw_match
from bovw.index.paths import PictureRoot, chosen_root, stored_root
from tests.helpers.pictures import textured

ODD_NAMES = [
    "with a space.png",
    "two\nlines.png",
    "ünïcödé-日本.png",
    os.fsdecode(b"\xff.png"),
    "-rf.png",
    "back\\slash.png",
    "\"quotes' & {more}.png",
    "two..dots .png",
    "~.png",
]
# Several ways to write photos/a/1.png, seen from the folder above photos.
SPELLINGS = [
    "photos/a/1.png",
    "./photos/a/1.png",
    "photos//a///1.png",
    "photos/./a/./1.png",
    "photos/../photos/a/1.png",
    "photos/b/../a/1.png",
    "{here}/photos/a/1.png",
    "{here}/photos/b/../a/1.png",
    "//{here}/photos/a/1.png",
    "{here}/../home/photos/a/1.png",
]
# Several ways to write photos/a, likewise.
FOLDER_SPELLINGS = [
    "photos/a",
    "photos/a/",
    "photos/a//",
    "./photos/a/.",
    "photos/../photos/a/",
    "photos/a/c/..",
    "photos/a/c/../",
    "{here}/photos/a",
    "{here}/photos/a/",
    "{here}/photos/a/c/..",
]


@pytest.fixture(scope="module")
def contents(photos: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in photos]


Paint = Callable[..., None]


@pytest.fixture
def paint(contents: list[bytes]) -> Paint:
    """Write the n-th picture under some path."""

    def write(path: str | Path, number: int) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_bytes(contents[number])

    return write


@pytest.fixture
def home(tmp_path: Path, paint: Paint, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with five pictures in photos, photos/a, photos/a/c and photos/b, and two
    beside.
    """
    names = [
        "photos/0.png",
        "photos/a/1.png",
        "photos/a/2.png",
        "photos/a/c/3.png",
        "photos/b/4.png",
        "photos2/5.png",
        "beside/6.png",
    ]
    folder = tmp_path / "home"
    for number, name in enumerate(names):
        paint(folder / name, number)
    monkeypatch.chdir(folder)
    return folder


@contextmanager
def made(
    path: str | Path, vocabulary: Vocabulary, *pictures: str | Path, root: str | Path | None = None
) -> Iterator[ImageIndex]:
    """A new index of some pictures."""
    with ImageIndex.create(path, vocabulary, picture_root=root) as index:
        report = index.add(pictures)
        assert report.failed == [] and report.unchanged == 0
        yield index


def make(
    path: str | Path, vocabulary: Vocabulary, *pictures: str | Path, root: str | Path | None = None
) -> None:
    """Make an index of some pictures, to be opened later."""
    with made(path, vocabulary, *pictures, root=root):
        pass


def found(index: ImageIndex, number: int) -> str:
    """Where a search says that the n-th picture is; it can be opened and drawn from there."""
    query = textured(number, 160, 120)[20:105, 25:140]
    match = index.search(query, SearchOptions(crop=True)).matches[0]
    assert match.verified
    assert draw_match(query, match.path, match).any()
    return match.path


def stored(index: ImageIndex) -> list[str]:
    """The paths as the index has them."""
    return sorted(record.path for _, record in index._snapshot.live_records())


def names(index: ImageIndex) -> str:
    """The numbers of the pictures that are in the index, in a row."""
    return "".join(sorted(os.path.basename(record.path)[0] for record in index.records()))


# ---- moving ----


@pytest.mark.slow
@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
@pytest.mark.parametrize(
    ("where", "pictures"),
    [
        ("i.bovw", ["photos"]),
        ("photos/i.bovw", ["photos"]),
        ("photos/a/i.bovw", ["photos/b", "photos/0.png"]),
        ("indexes/deep/i.bovw", ["photos", "beside"]),
        ("indexes/i.bovw", ["."]),
    ],
)
def test_index_and_pictures_move_together(
    how: Callable[[Path, Path], object],
    where: str,
    pictures: list[str],
    home: Path,
    vocabulary: Vocabulary,
    tmp_path: Path,
) -> None:
    with made(home / where, vocabulary, *(home / name for name in pictures)) as index:
        assert found(index, 4) == str(home / "photos/b/4.png")
        count = len(index)
    new = tmp_path / "another place" / "new home"
    new.parent.mkdir()
    how(home, new)
    with ImageIndex.open(new / where) as index:
        assert found(index, 4) == str(new / "photos/b/4.png")
        assert all(
            record.path.startswith(f"{new}{os.sep}") and os.path.isfile(record.path)
            for record in index.records()
        )
        before = index._snapshot.manifest
        report = index.add([new / name for name in pictures], prune=True)
        assert (report.unchanged, report.added, report.changed, report.removed, report.failed) == (
            count,
            0,
            0,
            0,
            [],
        )
        assert index._snapshot.manifest == before and len(index) == count


@pytest.mark.usefixtures("home")
def test_pictures_that_moved_alone_are_found_with_another_root(vocabulary: Vocabulary) -> None:
    make("i.bovw", vocabulary, "photos")
    os.makedirs("disk/elsewhere")
    shutil.move("photos", "disk/elsewhere")
    with ImageIndex.open("i.bovw") as index:
        assert not any(os.path.exists(record.path) for record in index.records())
    with ImageIndex.open("i.bovw", picture_root="disk/elsewhere") as index:
        assert found(index, 3) == "disk/elsewhere/photos/a/c/3.png"
        assert os.path.samefile(index.info().picture_root, "disk/elsewhere")
        before = index._snapshot.manifest
    with ImageIndex.open("i.bovw") as index:
        assert index._snapshot.manifest == before  # reading records nothing


@pytest.mark.parametrize("change", ["add", "remove", "merge", "nothing"])
def test_writing_records_the_other_root(change: str, home: Path, vocabulary: Vocabulary) -> None:
    make("i.bovw", vocabulary, "photos")
    shutil.move("photos", "elsewhere/photos")
    with (
        ImageIndex.open(home / "i.bovw", picture_root="elsewhere") as index,
        ImageIndex.open(home / "i.bovw") as other,
    ):
        if change == "add":
            assert index.add("elsewhere/photos").unchanged == 5
        elif change == "remove":
            assert index.remove("elsewhere/photos/b").removed == 1
        elif change == "merge":
            index.merge()
        else:
            index.add([])
        assert found(index, 1) == str(home / "elsewhere/photos/a/1.png")
        assert other.refresh() and found(other, 1) == str(home / "elsewhere/photos/a/1.png")
    with ImageIndex.open("i.bovw") as index:
        assert found(index, 1) == "elsewhere/photos/a/1.png"
        assert stored(index) == sorted(name for name in stored(index) if name.startswith("photos/"))


@pytest.mark.usefixtures("home")
def test_a_reader_with_another_root_keeps_it_when_it_moves_on(vocabulary: Vocabulary) -> None:
    with made("i.bovw", vocabulary, "photos") as writer:
        shutil.copytree("photos", "copy/photos")
        with ImageIndex.open("i.bovw", picture_root="copy") as reader:
            writer.remove("photos/0.png")
            assert reader.refresh() and found(reader, 1) == "copy/photos/a/1.png"
        assert found(writer, 1) == "photos/a/1.png"


def test_an_index_that_moved_alone_finds_its_pictures_with_a_root(
    home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    make("indexes/i.bovw", vocabulary, "photos")
    shutil.move("indexes/i.bovw", tmp_path / "moved.bovw")
    with ImageIndex.open(tmp_path / "moved.bovw", picture_root=home) as index:
        assert found(index, 0) == str(home / "photos/0.png")
        assert index.add(home / "photos").unchanged == 5
    with ImageIndex.open(tmp_path / "moved.bovw") as index:
        assert found(index, 0) == str(home / "photos/0.png")


# ---- relative and absolute paths of the index, and links above it ----


@pytest.mark.slow
@pytest.mark.parametrize("root", [None, ".", "photos", "..", "/"])
@pytest.mark.parametrize(
    "folder",
    [".", "photos", "photos/a", "indexes", "indexes/i.bovw", "indexes/i.bovw/segments", "..", "/"],
)
def test_paths_can_be_opened_from_any_current_folder(
    root: str | None,
    folder: str,
    home: Path,
    vocabulary: Vocabulary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make("indexes/i.bovw", vocabulary, "photos", root=root)
    monkeypatch.chdir(folder)
    with ImageIndex.open(home / "indexes/i.bovw") as index:
        assert found(index, 3) == str(home / "photos/a/c/3.png")
    with ImageIndex.open(os.path.relpath(home / "indexes/i.bovw")) as index:
        assert os.path.samefile(found(index, 3), home / "photos/a/c/3.png")
        assert index.add(os.path.relpath(home / "photos")).unchanged == 5
        assert index.remove(os.path.relpath(home / "photos/a/c/3.png")).removed == 1
        assert index.add(home / "photos").added == 0  # it was removed
        assert index.add(home / "photos/a/c/3.png").added == 1 and len(index) == 5


def test_a_relative_index_gives_relative_paths_and_an_absolute_one_absolute_paths(
    home: Path, vocabulary: Vocabulary
) -> None:
    with made("i.bovw", vocabulary, home / "photos") as index:
        assert found(index, 1) == "photos/a/1.png"
    with ImageIndex.open(home / "i.bovw") as index:
        assert found(index, 1) == str(home / "photos/a/1.png")


@pytest.mark.slow
def test_a_link_above_everything_is_no_other_place(
    home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(home)
    make(tmp_path / "link/i.bovw", vocabulary, tmp_path / "link/photos")
    for above in (home, tmp_path / "link"):
        with ImageIndex.open(above / "i.bovw") as index:
            assert found(index, 2) == str(above / "photos/a/2.png")
            for pictures in (home / "photos", tmp_path / "link/photos", "photos"):
                assert index.add(pictures).unchanged == 5
                assert index.remove(os.path.join(pictures, "b")).removed == 1
                assert index.add(pictures).added == 0  # it was removed
                assert index.add(os.path.join(pictures, "b")).added == 1
            assert len(index) == 5


def test_a_link_above_the_pictures(home: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home / "photos")
    with made(home / "i.bovw", vocabulary, tmp_path / "link") as index:
        assert os.path.samefile(found(index, 2), home / "photos/a/2.png")
        assert index.add(tmp_path / "link").unchanged == 5
        (home / "photos/a/2.png").unlink()
        assert index.add(tmp_path / "link", prune=True).removed == 1
        assert index.remove(tmp_path / "link").removed == 4


def test_a_link_in_the_folder_of_the_index_to_pictures_elsewhere(
    home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/link").symlink_to(home / "photos")
    with made(tmp_path / "base/i.bovw", vocabulary, tmp_path / "base/link") as index:
        assert os.path.samefile(found(index, 2), home / "photos/a/2.png")
        assert index.add(tmp_path / "base/link").unchanged == 5
        assert index.remove([tmp_path / "base/link/a", tmp_path / "base/link/0.png"]).removed == 4


@pytest.mark.slow
@pytest.mark.parametrize("pictures", ["photos", "indexes/real/photos"])
def test_a_link_above_the_index(
    pictures: str, home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    os.makedirs("indexes/real")
    shutil.copytree("photos", "indexes/real/photos")
    (tmp_path / "link").symlink_to(home / "indexes/real")
    with made(tmp_path / "link/i.bovw", vocabulary, home / pictures) as index:
        assert os.path.samefile(found(index, 2), home / pictures / "a/2.png")
    for path in (
        tmp_path / "link/i.bovw",
        "../link/i.bovw",
        "indexes/real/i.bovw",
        tmp_path / "link/../real/i.bovw",
    ):
        with ImageIndex.open(path) as index:
            assert os.path.samefile(found(index, 2), home / pictures / "a/2.png")
            assert index.add(home / pictures).unchanged == index.add(pictures).unchanged == 5


def test_an_index_that_is_a_link(home: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    make("indexes/i.bovw", vocabulary, "photos")
    (tmp_path / "link.bovw").symlink_to(home / "indexes/i.bovw")
    for path in (tmp_path / "link.bovw", "../link.bovw"):
        with ImageIndex.open(path) as index:
            assert os.path.samefile(found(index, 2), home / "photos/a/2.png")
            assert index.add("photos").unchanged == 5


def test_what_is_above_a_link_is_above_what_it_leads_to(
    home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away/link").symlink_to(home / "photos/a")
    with made(
        home / "i.bovw", vocabulary, tmp_path / "away/link/../b/4.png", tmp_path / "away/link/../a"
    ) as index:
        assert stored(index) == [
            "photos/a/1.png",
            "photos/a/2.png",
            "photos/a/c/3.png",
            "photos/b/4.png",
        ]
        assert index.remove(tmp_path / "away/link/../a").removed == 3
    with ImageIndex.open(tmp_path / "away/link/../../i.bovw") as index:
        assert os.path.samefile(found(index, 4), home / "photos/b/4.png")


def test_a_link_may_be_turned_between_two_runs(
    home: Path, vocabulary: Vocabulary, tmp_path: Path, paint: Paint
) -> None:
    paint(home / "photos/b/1.png", 7)
    (tmp_path / "link").symlink_to(home / "photos/a")
    with made("i.bovw", vocabulary, tmp_path / "link/1.png", root=home) as index:
        assert stored(index) == ["photos/a/1.png"]
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(home / "photos/b")
        assert index.add(tmp_path / "link/1.png").added == 1
        assert found(index, 1) == "photos/a/1.png" and found(index, 7) == "photos/b/1.png"


# ---- how pictures are named ----


@pytest.mark.parametrize("check_content", [False, True])
@pytest.mark.parametrize("batch", [1, 100])
def test_one_picture_under_many_names_is_added_once(
    check_content: bool, batch: int, home: Path, vocabulary: Vocabulary
) -> None:
    spelled = [spelling.format(here=home) for spelling in SPELLINGS]
    assert all(os.path.samefile(name, "photos/a/1.png") for name in spelled)
    with ImageIndex.create("i.bovw", vocabulary) as index:
        report = index.add(spelled, check_content=check_content, batch=batch)
        assert (report.added, report.changed, report.failed, len(index)) == (1, 0, [], 1)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_picture_is_known_by_every_name(
    spelling: str, home: Path, vocabulary: Vocabulary
) -> None:
    name = spelling.format(here=home)
    with made("i.bovw", vocabulary, "photos") as index:
        report = index.add(name, prune=True)
        assert (report.unchanged, report.added, report.removed) == (1, 0, 0)
        report = index.add(name, check_content=True)
        assert (report.unchanged, report.added) == (1, 0)
        assert index.remove(name).removed == 1 and names(index) == "0234"
        assert index.add(name).added == 1 and found(index, 1) == "photos/a/1.png"
        os.unlink("photos/a/1.png")
        pruned = index.add(name, prune=True)
        assert (pruned.removed, pruned.failed) == (1, []) and names(index) == "0234"


@pytest.mark.parametrize("spelling", FOLDER_SPELLINGS)
def test_a_folder_is_known_by_every_name(spelling: str, home: Path, vocabulary: Vocabulary) -> None:
    name = spelling.format(here=home)
    with made("i.bovw", vocabulary, "photos", "photos2") as index:
        assert index.add(name, prune=True).unchanged == 3 and names(index) == "012345"
        os.unlink("photos/a/1.png")
        os.unlink("photos/0.png")
        assert index.add(name, prune=True).removed == 1 and names(index) == "02345"
        report = index.remove(name)
        assert (report.removed, report.failed) == (2, []) and names(index) == "045"


@pytest.mark.parametrize(
    "spelling", [".", "./", "..", "../", "../..", "{here}", "{here}/photos/..", "/"]
)
def test_folders_far_above_are_folders(
    spelling: str, home: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = spelling.format(here=home)
    make("i.bovw", vocabulary, "photos")
    monkeypatch.chdir("photos")
    with ImageIndex.open(home / "i.bovw") as index:
        report = index.remove(name)
        assert (report.removed, report.failed) == (5, [])


def test_an_object_may_be_used_from_another_folder(
    home: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made(home / "i.bovw", vocabulary, "photos") as index:
        for folder in ("photos/a", "../b"):
            monkeypatch.chdir(folder)
            assert index.add("../0.png").unchanged == 1
            assert index.add(["./../a/1.png", "../b/4.png", "../a/c/.."]).added == 0
            assert index.remove("../b").removed == 1
            assert index.add("../b").added == 1
        monkeypatch.chdir("..")
        assert (
            index.add(".").unchanged == index.add("../photos").unchanged == 5
            and names(index) == "01234"
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(
    name: str, home: Path, vocabulary: Vocabulary, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = name.removesuffix(".png")
    paint(home / folder / name, 8)
    monkeypatch.chdir(home / folder)
    with made("../i.bovw", vocabulary, "../photos", name) as index:
        assert f"{folder}/{name}" in stored(index)
        assert found(index, 8) == os.path.join("..", folder, name)
    monkeypatch.chdir(home)
    with ImageIndex.open("i.bovw") as index:
        assert found(index, 8) == os.path.join(folder, name)
        assert index.add([folder], prune=True, force=True).unchanged == 1
        assert index.remove(os.path.join(folder, name)).removed == 1
        assert index.add(os.path.join(home, folder, name)).added == 1
        index.merge()
        assert index.remove(folder).removed == 1
        assert index.add(folder).added == 1
        os.unlink(os.path.join(folder, name))
        assert index.add(folder, prune=True, force=True).removed == 1
    with ImageIndex.open("i.bovw") as index:
        assert names(index) == "01234"


@pytest.mark.slow
def test_odd_names_go_through_processes(home: Path, vocabulary: Vocabulary, paint: Paint) -> None:
    for number, name in enumerate(ODD_NAMES):
        paint(home / "odd" / name, number)
    with ImageIndex.create("i.bovw", vocabulary) as index:
        assert index.add("odd", jobs=2).added == len(ODD_NAMES)
        assert {record.path for record in index.records()} == {
            os.path.join("odd", name) for name in ODD_NAMES
        }
        assert [found(index, number) for number in (0, 3)] == [
            os.path.join("odd", ODD_NAMES[number]) for number in (0, 3)
        ]


@pytest.mark.parametrize("name", ["..photos", os.fsdecode(b"\xff"), "a\nb", "...", " "])
def test_odd_names_of_roots_and_of_folders_above_the_index(
    name: str, home: Path, vocabulary: Vocabulary, paint: Paint
) -> None:
    paint(home / name / "8.png", 8)
    with made(
        home / name / "deep/i.bovw", vocabulary, os.path.join(name, "8.png"), root=name
    ) as index:
        assert stored(index) == ["8.png"] and found(index, 8) == str(home / name / "8.png")
    with ImageIndex.open(os.path.join(name, "deep/i.bovw")) as index:
        assert os.path.samefile(found(index, 8), home / name / "8.png")
        assert index.add(name).unchanged == 1
    with made("i.bovw", vocabulary, name, root=name) as index:
        assert stored(index) == ["8.png"] and found(index, 8) == os.path.join(name, "8.png")
        assert index.remove(name).removed == 1


# ---- inside and outside of the root ----


def test_pictures_outside_of_the_root_stay_where_they_are(
    home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    with made("photos/i.bovw", vocabulary, "photos", "beside", root="photos") as index:
        assert stored(index) == sorted(
            ["0.png", "a/1.png", "a/2.png", "a/c/3.png", "b/4.png", str(home / "beside/6.png")]
        )
    shutil.move("photos", tmp_path / "moved")
    with ImageIndex.open(tmp_path / "moved/i.bovw") as index:
        assert found(index, 1) == str(tmp_path / "moved/a/1.png")
        assert found(index, 6) == str(home / "beside/6.png")
        assert index.add([tmp_path / "moved", "beside"], prune=True).unchanged == 6
        assert index.remove("beside").removed == 1 and names(index) == "01234"


@pytest.mark.usefixtures("home")
def test_the_root_is_chosen_once(vocabulary: Vocabulary, tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "outside/8.png", 8)
    with made("i.bovw", vocabulary, "photos") as index:
        assert index.add(tmp_path / "outside").added == 1
        assert str(tmp_path / "outside/8.png") in stored(index) and "photos/0.png" in stored(index)
        assert index.add([tmp_path / "outside", "photos"]).unchanged == 6


def test_a_picture_that_comes_to_lie_below_the_root_stays_one_picture(
    home: Path, vocabulary: Vocabulary
) -> None:
    make("i.bovw", vocabulary, "photos", "beside", root="photos")
    shutil.copytree("photos", ".", dirs_exist_ok=True)
    with ImageIndex.open(
        "i.bovw", picture_root=home
    ) as index:  # beside/6.png was outside and is inside now
        assert index.add("beside").unchanged == 1
        assert len({record.path for record in index.records()}) == len(index) == 6
        assert index.remove("beside/6.png").removed == 1 and names(index) == "01234"


@pytest.mark.slow
def test_the_root_may_be_the_root_of_all_folders(
    home: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    with made("i.bovw", vocabulary, "photos", root="/") as index:
        assert str(home / "photos/0.png")[1:] in stored(index)
        assert index.info().picture_root == "/"
        assert found(index, 1) == str(home / "photos/a/1.png")
    shutil.move("i.bovw", tmp_path / "moved.bovw")
    with ImageIndex.open(tmp_path / "moved.bovw") as index:
        assert found(index, 1) == str(home / "photos/a/1.png")
        assert index.add("photos", prune=True).unchanged == 5
        assert index.remove("photos/a").removed == 3
        assert index.remove("/").removed == 2


def test_roots_of_indexes_and_pictures_that_share_nothing() -> None:
    index = Path("/one/two/i.bovw")
    assert chosen_root(index, ["/three/a/0.png", "/three/b/0.png"]) == "/three"
    assert chosen_root(index, ["/three/a/0.png", "/four/b/0.png"]) == "/"
    assert chosen_root(index, ["/one/a/0.png"]) == ".."
    assert chosen_root(Path("/i.bovw"), ["/three/a/0.png"]) == "three/a"
    assert stored_root(Path("/i.bovw"), "/three") == "three"
    assert stored_root(index, "/three") == "/three"
    for path, root in (
        (index, "/three"),
        (Path("/i.bovw"), "three"),
        (index, "../../three"),
        (Path("/three/i.bovw"), "."),
    ):
        known = PictureRoot(path, root)
        assert known.full("a/0.png") == known.full("/three/a/0.png") == "/three/a/0.png"
        assert (
            known.stored("/three/a/0.png") == "a/0.png"
            and known.stored("/threefold/0.png") == "/threefold/0.png"
        )
        assert known.absolute("a/0.png") == "/three/a/0.png" and known.absolute("") == "/three"


# ---- remove and prune ----


@pytest.mark.usefixtures("home")
def test_remove_says_what_is_not_there(vocabulary: Vocabulary) -> None:
    with made("i.bovw", vocabulary, "photos", "photos2") as index:
        report = index.remove(["photos/absent.png", "photos/0.png", "absent/", "photos/a/c"])
        assert report.removed == 2
        assert {error.name for error in report.failed} == {"photos/absent.png", "absent/"}
        assert all(os.path.isfile(name) for name in ("photos/0.png", "photos/a/c/3.png"))
        assert (
            index.remove("photo").removed == index.remove("photos/0").removed == 0
            and names(index) == "1245"
        )
        assert index.remove(Path("photos")).removed == 3 and names(index) == "5"


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        (["photos", "photos/a"], ""),
        (["photos/a/c/3.png", "photos/a/c"], "04"),
        (["photos/b", "photos/b/", "{here}/photos/b"], "03"),
        (["photos/0.png", "./photos/0.png"], "34"),
        (["photos/a", "photos/a/c", "photos/a/c/3.png", "photos/0.png"], "4"),
    ],
)
def test_paths_to_remove_may_overlap(
    paths: list[str], left: str, home: Path, vocabulary: Vocabulary
) -> None:
    with made("i.bovw", vocabulary, "photos/a/c", "photos/b", "photos/0.png") as index:
        report = index.remove([path.format(here=home) for path in paths])
        assert (report.removed, report.failed, names(index)) == (3 - len(left), [], left)


def test_remove_needs_no_files(home: Path, vocabulary: Vocabulary) -> None:
    with made("i.bovw", vocabulary, "photos") as index:
        shutil.rmtree("photos")
        assert (
            index.remove("photos/a/").removed == 3
            and index.remove(home / "photos/0.png").removed == 1
            and names(index) == "4"
        )


@pytest.mark.usefixtures("home")
def test_prune_removes_what_is_gone_below_the_named_paths_only(vocabulary: Vocabulary) -> None:
    with made("i.bovw", vocabulary, "photos", "photos2", "beside") as index:
        shutil.rmtree("photos/a")
        os.unlink("photos/0.png")
        os.unlink("photos2/5.png")
        assert index.add("beside", prune=True).removed == 0
        assert index.add(["photos/0.png"], prune=True).removed == 1 and names(index) == "123456"
        assert index.add("photos", prune=True).removed == 3 and names(index) == "456"
        assert index.add(".", prune=True, force=True).removed == 1 and names(index) == "46"


def test_an_absent_folder_loses_nothing(home: Path, vocabulary: Vocabulary) -> None:
    with made("i.bovw", vocabulary, "photos", "photos2") as index:
        shutil.rmtree("photos/a")
        shutil.rmtree("photos2")
        for absent in ("photos/a", "photos/a/", home / "photos/a", "photos2", "photos/a/c"):
            report = index.add(absent, prune=True)
            assert (report.removed, len(report.failed), report.absent) == (0, 1, 1)
        os.rename("photos", "gone")
        for absent in ("photos", home / "photos", "photos/", "photos/b"):
            assert index.add([absent, "beside"], prune=True).removed == 0
        assert names(index) == "0123456"
        assert not index.add("beside").failed


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("named", ["photos/a", "photos", "photos/a/1.png"])
@pytest.mark.parametrize("left", [[], ["c"], [".marker"]])
def test_a_folder_without_files_may_be_a_disk_that_is_not_there(
    named: str, left: list[str], vocabulary: Vocabulary
) -> None:
    with made("i.bovw", vocabulary, "photos") as index:
        shutil.rmtree("photos/a")
        os.mkdir("photos/a")
        for name in left:
            os.mkdir(f"photos/a/{name}") if name == "c" else Path("photos/a", name).write_text("")
        report = index.add(named, prune=True)
        assert report.removed == 0 and names(index) == "01234"
        held = [failure for failure in report.failed if "--force" in failure.reason]
        assert held and all(failure.name.startswith("photos/a") for failure in held)
        report = index.add(named, prune=True, force=True)
        assert report.removed == (1 if named.endswith("png") else 3) and not report.failed


def test_most_of_many_images_are_not_removed_unasked(
    tmp_path: Path, photos: list[Path], vocabulary: Vocabulary
) -> None:
    (tmp_path / "many").mkdir()
    files = [str(tmp_path / "many" / f"{number:02d}.png") for number in range(42)]
    for file in files:
        shutil.copy(photos[0], file)
    with ImageIndex.create(tmp_path / "i.bovw", vocabulary) as index:
        index.add(files)
        for file in files[:21]:
            os.unlink(file)
        assert index.add(tmp_path / "many", prune=True).removed == 21, "half is not more than half"
        for file in files[21:41]:
            os.unlink(file)
        assert index.add(tmp_path / "many", prune=True).removed == 20, "20 are not more than 20"
        for file in files[:41]:
            shutil.copy(photos[0], file)
        index.add(files)
        for file in files[:22]:
            os.unlink(file)
        for named in ([tmp_path / "many"], files):
            report = index.add(named, prune=True)
            assert (report.removed, len(index)) == (0, 42)
            assert "22 of 42 images are gone from disk" in report.failed[-1].reason
        assert index.add(tmp_path / "many", prune=True, force=True).removed == 22


def test_a_file_that_is_there_is_never_pruned(home: Path, vocabulary: Vocabulary) -> None:
    with made("i.bovw", vocabulary, "photos") as index:
        for name in (
            "photos/0.png/",
            f"{home}/photos/a/1.png/",
            "photos/0.png/.",
            "photos/0.png/x/..",
        ):
            assert index.add(name, prune=True).removed == 0
        os.unlink("photos/b/4.png")
        os.symlink("nowhere", "photos/b/4.png")
        Path("photos/a/2.png").write_text("no picture")
        report = index.add("photos", prune=True)
        assert (report.removed, len(report.failed)) == (0, 2) and names(index) == "01234"


@pytest.fixture
def permissions(home: Path) -> None:
    """Only where permissions apply: to root, as a rule, they do not."""
    os.mkdir(home / "closed", 0o000)
    try:
        os.listdir(home / "closed")
    except PermissionError:
        return
    finally:
        os.rmdir(home / "closed")
    pytest.skip("permissions do not apply to this user")


@pytest.mark.usefixtures("permissions")
@pytest.mark.parametrize("closed", ["photos", "photos/a"])
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_what_cannot_be_looked_into_loses_nothing(
    closed: str, mode: int, vocabulary: Vocabulary
) -> None:
    with made("i.bovw", vocabulary, "photos") as index:
        os.chmod(closed, mode)
        try:
            for path in ("photos", "photos/", "photos/a", "photos/a/1.png", "photos/a/c"):
                assert index.add(path, prune=True).removed == 0
        finally:
            os.chmod(closed, 0o700)
        assert index.add("photos").unchanged == 5
