"""Every step of a writer that changes the file system fails once: the index is as before or as
after, never in between.

All such steps go through the name `os` in bovw.storage.directory. Here `Disk` stands in for it: it
counts the steps, fails at one of them, and remembers what has been synced, so that it can say what
a power cut may leave on a real disk.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bovw import ImageIndex, SearchOptions, Vocabulary, check_index
from bovw.errors import BovwError, ImageIndexError, IndexMissingError
from bovw.features import local as features
from bovw.features.local import FeatureSpec
from bovw.index import segment, writer
from bovw.index.manifest import Manifest, read_latest
from bovw.storage import directory as storage
from bovw.storage.directory import Directory
from tests.helpers.columns import one_optional_column  # noqa: F401 - used by itself
from tests.helpers.pictures import Pixels, textured

# Files and folders (these end with a slash) by path, with their contents.
Tree = dict[str, bytes]
Operation = Callable[[ImageIndex], object]
State = tuple[list[object], list[object]]

INDEX = "i.bovw"
STEPS = frozenset({"open", "write", "fsync", "mkdir", "rename", "link", "unlink", "rmdir"})


class PowerCut(BaseException):
    """The end of the process: it reaches the test, and no clean-up on the way can change anything
    any more.
    """


@dataclass(frozen=True)
class Fault:
    """What goes wrong at a step.

    Attributes:
        name: what to call it.
        code: the number of the OSError, or 0 for a power cut.
        steps: the calls that it can strike; only these are counted.
        lasting: whether all later ones are struck, too.
    """

    name: str
    code: int
    steps: frozenset[str]
    lasting: bool

    def __str__(self) -> str:
        return self.name


POWER_CUT = Fault("power cut", 0, STEPS, lasting=True)
ONE_ERROR = Fault("one error", errno.EIO, STEPS, lasting=False)
DEAD_DISK = Fault("dead disk", errno.EIO, STEPS, lasting=True)
# Removing needs no space.
FULL_DISK = Fault(
    "full disk", errno.ENOSPC, frozenset({"open", "write", "mkdir", "rename", "link"}), lasting=True
)


class File:
    """A file: what it holds now, and what it held when it was last synced."""

    def __init__(self, content: bytes = b"") -> None:
        self.now = self.synced = content


class Folder:
    """A folder: its names now, and those that it had when it was last synced."""

    def __init__(self) -> None:
        self.now: dict[str, File | Folder] = {}
        self.synced: dict[str, File | Folder] = {}


class Unsynced:
    """Stands in for `os`, and syncs nothing: here that would only take time."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        """Do nothing."""


class Disk(Unsynced):
    """Stands in for `os`: does what is asked below a folder, fails at one step, and knows what has
    reached the disk.
    """

    fault: Fault | None

    def __init__(self, place: Path, fault: Fault, at: int) -> None:
        """Args: what goes wrong, and the number of the step at which it does, from 1."""
        self.place, self.fault, self.at = place, fault, at
        self.done, self.struck = 0, False
        self.root = model_of(place)
        self.opened: dict[int, File | Folder] = {}
        self.newest: tuple[Folder, tuple[str, ...]] = self.root, ()

    def step(self, name: str) -> None:
        """Count a call that changes the file system, and fail if it is its turn."""
        if self.fault is None or name not in self.fault.steps:
            return
        self.done += 1
        if self.done == self.at or (self.fault.lasting and self.done > self.at):
            self.struck = True
            raise (
                OSError(self.fault.code, os.strerror(self.fault.code))
                if self.fault.code
                else PowerCut
            )

    def node(self, path: Path) -> File | Folder:
        """The file or folder at a path."""
        node: File | Folder = self.root
        for name in path.relative_to(self.place).parts:
            assert isinstance(node, Folder)
            node = node.now[name]
        return node

    def rename_node(self, path: Path, node: File | Folder | None, *others: str) -> None:
        """Note what a name stands for from now on, None if it is gone; `others` in the folder have
        changed in the same stroke.
        """
        folder = self.node(path.parent)
        assert isinstance(folder, Folder)
        if node is None:
            del folder.now[path.name]
        else:
            folder.now[path.name] = node
        self.newest = folder, (path.name, *others)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        new = bool(flags & os.O_CREAT) and not path.exists()
        if new:
            self.step("open")
        descriptor = os.open(path, flags, mode)
        if new:
            self.rename_node(path, File())
        self.opened[descriptor] = self.node(path)
        return descriptor

    def write(self, descriptor: int, content: memoryview) -> int:
        try:
            self.step("write")
        except BaseException:
            if self.done == self.at:  # what fails may have been done by half
                self.append(descriptor, content[: len(content) // 2])
            raise
        return self.append(descriptor, content)

    def append(self, descriptor: int, content: memoryview) -> int:
        file = self.opened[descriptor]
        assert isinstance(file, File)
        file.now += bytes(content)
        return os.write(descriptor, content)

    def fsync(self, descriptor: int) -> None:
        self.step("fsync")
        node = self.opened[descriptor]
        if isinstance(node, File):
            node.synced = node.now
        else:
            node.synced = dict(node.now)

    def mkdir(self, path: Path) -> None:
        self.step("mkdir")
        os.mkdir(path)
        self.rename_node(path, Folder())

    def rename(self, old: Path, new: Path) -> None:
        self.step("rename")
        assert old.parent == new.parent, "the model knows no moves from folder to folder"
        os.rename(old, new)
        self.rename_node(new, self.node(old))
        self.rename_node(old, None, new.name)

    def link(self, old: Path, new: Path) -> None:
        self.step("link")
        os.link(old, new)
        self.rename_node(new, self.node(old))

    def unlink(self, path: Path) -> None:
        self.step("unlink")
        os.unlink(path)
        self.rename_node(path, None)

    def rmdir(self, path: Path) -> None:
        self.step("rmdir")
        os.rmdir(path)
        self.rename_node(path, None)

    def after_power_cut(self) -> dict[str, Tree]:
        """What may be on the disk when the power is back."""

        def everything(folder: Folder) -> dict[str, File | Folder]:
            return folder.now

        def synced(folder: Folder) -> dict[str, File | Folder]:
            return folder.synced

        def newest(folder: Folder) -> dict[str, File | Folder]:
            changed, names = self.newest
            if folder is not changed:
                return folder.synced
            kept = {name: node for name, node in folder.synced.items() if name not in names}
            return kept | {name: folder.now[name] for name in names if name in folder.now}

        return {
            "everything reached the disk": flat(self.root, everything, lambda file: file.now),
            "content was torn": flat(
                self.root,
                everything,
                lambda file: file.now if file.now == file.synced else halved(file.now),
            ),
            "content was lost": flat(self.root, everything, lambda file: file.synced),
            "names were lost": flat(self.root, synced, lambda file: file.synced),
            "names but the newest were lost": flat(self.root, newest, lambda file: file.synced),
        }


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flat(
    folder: Folder,
    names: Callable[[Folder], dict[str, File | Folder]],
    content: Callable[[File], bytes],
    prefix: str = "",
) -> Tree:
    """What lies below a folder of the model."""
    tree: Tree = {}
    for name, node in names(folder).items():
        if isinstance(node, File):
            tree[prefix + name] = content(node)
        else:
            tree[f"{prefix}{name}/"] = b""
            tree |= flat(node, names, content, f"{prefix}{name}/")
    return tree


def model_of(place: Path) -> Folder:
    """The model of a real folder, all of it synced."""
    folder = Folder()
    for path in place.iterdir():
        folder.now[path.name] = model_of(path) if path.is_dir() else File(path.read_bytes())
    folder.synced = dict(folder.now)
    return folder


def tree_of(place: Path, prefix: str = "") -> Tree:
    """What lies below a real folder."""
    tree: Tree = {}
    for name in os.listdir(place):
        path = place / name
        if path.is_dir():
            tree[f"{prefix}{name}/"] = b""
            tree |= tree_of(path, f"{prefix}{name}/")
        else:
            tree[prefix + name] = path.read_bytes()
    return tree


def put(tree: Tree, place: Path) -> None:
    """Make a folder hold this and nothing else; what it holds already is not written again."""
    there = tree_of(place)
    for name in sorted(there, reverse=True):
        if tree.get(name) != there[name]:
            (place / name).rmdir() if name.endswith("/") else (place / name).unlink()
    for name in sorted(tree):
        if tree[name] != there.get(name):
            (place / name).mkdir() if name.endswith("/") else (place / name).write_bytes(tree[name])


class Scene:
    """An index before an operation, and the operation.

    Attributes:
        place: the folder that holds the index, and nothing else.
        before: what it holds before the operation.
        states: the index as its users see it, before and after.
    """

    def __init__(self, place: Path, operation: Operation, queries: list[Pixels]) -> None:
        self.place, self.operation, self.queries = place, operation, queries
        self.before = tree_of(place)
        self.known: dict[Manifest, State] = {}
        self.recovered: dict[frozenset[tuple[str, bytes]], State] = {}
        self.clean: list[Tree] = []
        states = [self.state()]
        self.run()
        self.states = [*states, self.state()]

    def run(self) -> None:
        """The operation by a writer that opens the index."""
        with ImageIndex.open(self.place / INDEX) as index:
            self.operation(index)

    def state(self) -> State:
        """The state of the index on disk."""
        with ImageIndex.open(self.place / INDEX) as index:
            return self.state_of(index)

    def state_of(self, index: ImageIndex) -> State:
        """The images of an open index and what searches say."""
        manifest = index._snapshot.manifest
        if (
            manifest not in self.known
        ):  # it has the checksums of everything, and check_index has compared them
            matches = [
                match
                for query in self.queries
                for match in index.search(query, SearchOptions(crop=True)).matches
            ]
            said = [
                (
                    match.path,
                    match.score,
                    None if match.outline is None else match.outline.tobytes(),
                )
                for match in matches
            ]
            self.known[manifest] = list(index.records()), list(said)
        return self.known[manifest]

    def is_clean(self) -> bool:
        """Whether the index has no file that it does not need."""
        directory = Directory(self.place / INDEX)
        rest = [name for name in tree_of(directory.path) if "tmp-" in name]
        return not rest and not writer.garbage(directory, read_latest(directory))

    def recovers(self, tree: Tree, states: list[State], where: str) -> None:
        """What a fault has left is sound and in one of some states; the next writer cleans it up
        and makes it as after.
        """
        key = frozenset(tree.items())
        if key not in self.recovered:
            put(tree, self.place)
            assert check_index(self.place / INDEX).damages == [], where
            with ImageIndex.open(self.place / INDEX) as index:
                self.recovered[key] = self.state_of(index)
                index.remove([])  # a writer that has nothing to do but to clean up
            assert self.is_clean(), where
            if tree_of(self.place) not in self.clean:
                self.clean.append(tree_of(self.place))
                self.run()
                assert self.is_clean() and check_index(self.place / INDEX).damages == [], where
                assert self.state() == self.states[1], where
        assert self.recovered[key] in states, where


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture is looked at twice, nothing is really synced, and small segments are written like
    large ones.
    """
    known: dict[object, tuple[NDArray[np.float32], NDArray[Any]]] = {}
    detect = features.detect

    def remembered(
        gray: NDArray[Any], spec: FeatureSpec
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        key = gray.tobytes(), gray.shape, spec
        if key not in known:
            known[key] = detect(gray, spec)
        return known[key][0].copy(), known[key][1]

    monkeypatch.setattr(features, "detect", remembered)
    monkeypatch.setattr(storage, "os", Unsynced())
    monkeypatch.setattr(segment, "COUNTED_FEATURES", 0)


def picture(path: Path, seed: int) -> Path:
    path.write_bytes(cv2.imencode(".png", textured(seed, 160, 120))[1].tobytes())
    return path


def leave_garbage(index: Path) -> None:
    """What crashes leave beside generation 4: parts of an older one, of the next one, and what has
    a temporary name.
    """
    for folder in ("deleted", "segments/00000001", "segments/00000005", "segments/tmp-00000005"):
        (index / folder).mkdir()
    for name in (
        "manifest-00000001.json",
        "tmp-manifest-00000005.json",
        "deleted/00000001-00000003.npy",
        "segments/00000005/places.npy",
    ):
        (index / name).write_text("half")


def scene(
    name: str, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> Scene:
    """A scene by its name."""
    place, folder = tmp_path / "place", tmp_path / "photos"
    place.mkdir()
    folder.mkdir()
    files = [picture(folder / f"{number}.png", number) for number in range(5)]
    with ImageIndex.create(place / INDEX, vocabulary, max_features=60) as index:
        index.add(files[:3])
        index.add(files[3:])
        if name == "merge":
            index.remove(files[0])
        if "and merge" in name:
            index.merge()
            monkeypatch.setattr(writer, "FAN_IN", 2)
    if "crash" in name:
        leave_garbage(place / INDEX)
    if name.startswith("add"):
        picture(files[1], 11)
        picture(folder / "5.png", 5)
        picture(folder / "6.png", 6)
    if name == "prune":
        files[0].unlink()

    def operation(index: ImageIndex) -> None:
        if name == "remove":
            # all of a segment, and most of one
            index.remove([files[0], files[1], files[3], files[4]])
        elif name == "merge":
            index.merge()
            assert len(index._snapshot.segments) == 1
        else:
            index.add(folder, prune=name == "prune")

    return Scene(
        place, operation, [textured(seed, 160, 120)[20:110, 10:140] for seed in (1, 3, 5, 11)]
    )


def make(path: Path, vocabulary: Vocabulary) -> None:
    """Make an index, or open the one that is there; and write to it, which changes nothing but
    cleans up.
    """
    try:
        index = ImageIndex.open(path)
    except IndexMissingError:
        index = ImageIndex.create(path, vocabulary)
    with index:
        index.remove([])


def failure(
    monkeypatch: pytest.MonkeyPatch, disk: Disk, action: Callable[[], object]
) -> BaseException | None:
    """Do something on a disk, and say what came of it."""
    with monkeypatch.context() as patch:
        patch.setattr(storage, "os", disk)
        try:
            action()
        except (PowerCut, BovwError) as error:
            return error
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["add", "add after a crash and merge", "prune", "remove", "merge"])
def test_a_power_cut_at_any_step_leaves_the_index_as_before_or_as_after(
    name: str, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = scene(name, tmp_path, vocabulary, monkeypatch)
    for at in count(1):
        put(about.before, about.place)
        disk = Disk(about.place, POWER_CUT, at)
        error = failure(monkeypatch, disk, about.run)
        assert isinstance(error, PowerCut) == disk.struck
        left = disk.after_power_cut()
        assert left["everything reached the disk"] == tree_of(about.place)  # the model is right
        # or the process alone was killed, and the power was cut when the next writer had cleaned up
        disk.fault = None
        failure(monkeypatch, disk, partial(make, about.place / INDEX, vocabulary))
        left["all but the newest of the names after cleaning up were lost"] = (
            disk.after_power_cut()["names but the newest were lost"]
        )
        for what, tree in left.items():
            about.recovers(
                tree, about.states if error else about.states[1:], f"cut at step {at}: {what}"
            )
        if not error:
            break
    assert at > (15 if name == "prune" else 50)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, ONE_ERROR) for name in ("add and merge", "prune", "remove", "merge")]
    + [("add and merge", FULL_DISK), ("remove", FULL_DISK), ("prune", DEAD_DISK)],
    ids=str,
)
def test_a_step_that_fails_is_our_error_and_leaves_no_garbage(
    name: str, fault: Fault, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = scene(name, tmp_path, vocabulary, monkeypatch)
    for at in count(1):
        put(about.before, about.place)
        disk, where = Disk(about.place, fault, at), f"{fault} at step {at}"
        with ImageIndex.open(about.place / INDEX) as index:
            error = failure(monkeypatch, disk, partial(about.operation, index))
            assert isinstance(error, ImageIndexError) == disk.struck, where
            if not error:
                break
            assert about.state_of(index) in about.states, where
            assert about.is_clean() or fault == DEAD_DISK, where
            # trouble seldom comes alone
            lost = disk.after_power_cut()["names but the newest were lost"]
            left = [tree_of(about.place), lost]
            about.operation(index)
            assert about.state_of(index) == about.states[1] and about.is_clean(), where
        for tree in left:
            about.recovers(tree, about.states, where)
    assert at > (15 if name == "prune" else 40)


@pytest.mark.slow
def test_a_power_cut_during_an_upgrade_leaves_an_index_that_answers_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every seventh step: the others are those of a merge."""
    monkeypatch.setattr(segment, "COUNTED_FEATURES", 131_072)  # as when the fixture was made
    place = tmp_path / "place"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "index-2", place / INDEX)
    queries = [textured(seed, 240, 180)[20:150, 30:200] for seed in (0, 11)]
    about = Scene(place, lambda index: index.upgrade(), queries)
    assert about.states[0] == about.states[1]
    for at in count(1, 7):
        put(about.before, place)
        disk = Disk(place, POWER_CUT, at)
        error = failure(monkeypatch, disk, about.run)
        assert isinstance(error, PowerCut) == disk.struck
        for what, tree in disk.after_power_cut().items():
            about.recovers(tree, about.states, f"cut at step {at}: {what}")
        if not error:
            break
    assert at > 100


def is_whole(path: Path) -> bool:
    """Whether there is an index, sound and without a file too many."""
    try:
        report = check_index(path)
    except IndexMissingError:
        return False
    return not report.damages and not report.leftovers


@pytest.mark.slow
@pytest.mark.parametrize(
    "before", [{}, {"above/": b"", f"above/{INDEX}/": b""}], ids=["new", "in an empty folder"]
)
def test_a_power_cut_while_an_index_is_made_leaves_none_or_all_of_it(
    before: Tree, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, path = tmp_path / "place", tmp_path / "place" / "above" / INDEX
    place.mkdir()
    for at in count(1):
        put(before, place)
        disk = Disk(place, POWER_CUT, at)
        error = failure(monkeypatch, disk, partial(make, path, vocabulary))
        for what, tree in disk.after_power_cut().items():
            put(tree, place)
            assert error or ImageIndex.open(path).picture_root, "what was finished is lost"
            make(path, vocabulary)
            assert is_whole(path), f"cut at step {at}: {what}"
        if not error:
            break
    assert at > 15


@pytest.mark.slow
@pytest.mark.parametrize("fault", [ONE_ERROR, FULL_DISK, DEAD_DISK], ids=str)
def test_an_index_that_cannot_be_made_is_our_error_and_leaves_no_files(
    fault: Fault, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, path = tmp_path / "place", tmp_path / "place" / INDEX
    place.mkdir()
    for at in count(1):
        put({}, place)
        disk, where = Disk(place, fault, at), f"{fault} at step {at}"
        error = failure(monkeypatch, disk, partial(make, path, vocabulary))
        assert isinstance(error, ImageIndexError) == disk.struck, where
        if not error:
            break
        files = {name for name in tree_of(place) if not name.endswith("/")} - {f"{INDEX}/.lock"}
        assert not files or fault == DEAD_DISK or is_whole(path), where
        make(path, vocabulary)
        assert is_whole(path), where
    assert at > 10
